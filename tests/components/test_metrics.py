"""The metrics: equal to sacreBLEU's public functions, and open to a metric that is not sacreBLEU's."""

from __future__ import annotations

import dataclasses
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from bitext.components.shared.metrics import METRICS, Bleu, ChrF, ChrFPlusPlus, Metric, Ter
from bitext.components.shared.metrics.sacrebleu_metrics import SacreBleuMetric, reference_streams
from tests.exact_match import ExactMatch

if TYPE_CHECKING:
    pass

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("the", "cat", "sat", "on", "a", "mat", ",", "and", "two", "dogs", "run", "past", "its", "house", ".")


@dataclasses.dataclass(frozen=True)
class Options:
    tokenize: str = "13a"
    lowercase: bool = False
    bootstrap_samples: int = 100


def corpus(seed: int, sentences: int, most_references: int) -> tuple[list[str], list[list[str]]]:
    """Hypotheses with substituted and moved words and changed case, and their references."""
    generator = random.Random(seed)
    hypotheses, references = [], []
    for _ in range(sentences):
        of_sentence = [
            " ".join(generator.choices(WORDS, k=generator.randint(1, 12)))
            for _ in range(generator.randint(1, most_references))
        ]
        words = generator.choice(of_sentence).split()
        if generator.random() < 0.5:
            middle = len(words) // 2
            words = words[middle:] + words[:middle]
        words = [word if generator.random() < 0.7 else generator.choice(WORDS).upper() for word in words]
        hypotheses.append(" ".join(words))
        references.append(of_sentence)
    return hypotheses, references


def public(metric: type[Metric], options: Options) -> Any:
    """sacreBLEU's metric, made as its users make it."""
    if metric is Bleu:
        return BLEU(lowercase=options.lowercase, tokenize=options.tokenize)
    if metric in (ChrF, ChrFPlusPlus):
        return CHRF(lowercase=options.lowercase, word_order=2 if metric is ChrFPlusPlus else 0)
    return TER(case_sensitive=not options.lowercase)


SACREBLEU_METRICS = [metric for metric in METRICS if issubclass(metric, SacreBleuMetric)]


@pytest.mark.parametrize("metric", SACREBLEU_METRICS)
class TestAgainstSacreBleu:
    """The contract with sacreBLEU's private members: they give what its public functions give."""

    @pytest.mark.parametrize("most_references", [1, 3])
    @pytest.mark.parametrize(
        "options", [Options(), Options(lowercase=True), Options("intl"), Options(bootstrap_samples=250)]
    )
    def test_score_signature_and_interval(
        self, metric: type[Metric], options: Options, most_references: int
    ) -> None:
        hypotheses, references = corpus(5, 90, most_references)
        scorer = public(metric, options)
        expected = scorer.corpus_score(
            hypotheses, reference_streams(references), n_bootstrap=options.bootstrap_samples
        )
        scored = metric(references, options)
        result = scored.score(scored.statistics(hypotheses))
        assert result.score == pytest.approx(expected.score, abs=1e-9)
        assert result.signature == str(scorer.get_signature())
        low, high = result.interval
        assert (high - low) / 2 == pytest.approx(expected._ci, abs=1e-4)  # sacreBLEU's is float32
        assert low < result.score < high

    def test_the_score_of_some_sentences(self, metric: type[Metric]) -> None:
        hypotheses, references = corpus(6, 40, 2)
        scored = metric(references, Options())
        some = scored.statistics(hypotheses)[10:25].sum(axis=0)
        expected = public(metric, Options()).corpus_score(
            hypotheses[10:25], reference_streams(references[10:25])
        )
        assert scored.corpus_score(some) == pytest.approx(expected.score, abs=1e-9)

    def test_paired_bootstrap(self, metric: type[Metric]) -> None:
        candidate, references = corpus(7, 80, 1)
        generator = random.Random(8)
        baseline = [" ".join(w if generator.random() < 0.97 else "x" for w in h.split()) for h in candidate]
        scored = metric(references, Options(bootstrap_samples=300))
        result = scored.compare(scored.statistics(candidate), scored.statistics(baseline))
        test = PairedTest(
            [("baseline", baseline), ("candidate", candidate)],
            {"metric": public(metric, Options())},
            reference_streams(references),
            "bs",
            n_samples=300,
        )
        of_baseline, of_candidate = next(values for key, values in test()[1].items() if key != "System")
        assert result.p_value == pytest.approx(of_candidate.p_value)
        assert result.score == pytest.approx(of_baseline.score)
        assert result.score + result.difference == pytest.approx(of_candidate.score)
        assert result.difference != 0

    def test_perfect_and_empty_translations(self, metric: type[Metric]) -> None:
        _, references = corpus(9, 30, 1)
        scored = metric(references, Options())
        perfect = scored.score(scored.statistics([of_sentence[0] for of_sentence in references])).score
        empty = scored.score(scored.statistics([""] * len(references))).score
        best, worst = (100.0, 0.0) if metric.higher_is_better else (0.0, 100.0)
        assert (perfect, empty) == pytest.approx((best, worst))


def test_no_other_module_uses_private_members_of_sacrebleu() -> None:
    private = re.compile(r"_extract_corpus_statistics|_compute_score_from_stats|_aggregate_and_compute")
    users = [
        path.name
        for folder in ("components", "pipeline")
        for path in (ROOT / folder).rglob("*.py")
        if private.search(path.read_text(encoding="utf-8"))
    ]
    assert users == ["sacrebleu_metrics.py"]


def test_length_ratio_is_of_words() -> None:
    bleu = Bleu([["a b c d"], ["e f"]], Options())
    assert bleu.length_ratio(bleu.statistics(["a b c", "e f"])) == pytest.approx(5 / 6)
    assert bleu.length_ratio(np.zeros((2, 10))) == 0.0


def test_names_and_labels_are_distinct() -> None:
    for values in ([metric.name for metric in METRICS], [metric.label for metric in METRICS]):
        assert len(set(values)) == len(values)
    assert [metric.higher_is_better for metric in (Bleu, ChrF, ChrFPlusPlus, Ter)] == [
        True,
        True,
        True,
        False,
    ]
    assert all(re.fullmatch(r"[a-z_]+", metric.name) for metric in METRICS), "a name of OpenMetrics"


def test_listing_the_metrics_imports_no_library() -> None:
    code = (
        "import sys; from bitext.components.shared.metrics import METRICS; assert METRICS; "
        "print(*sorted({'numpy', 'sacrebleu'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout.split()) == (0, []), process.stderr


def test_a_metric_of_another_kind_has_an_interval_and_a_comparison() -> None:
    references = [[str(n)] for n in range(50)]
    metric = ExactMatch(references, Options())
    good, bad = ([str(n if n % k else -1) for n in range(50)] for k in (5, 2))
    result = metric.score(metric.statistics(good))
    assert (result.score, result.signature) == (80.0, "case:mixed")
    assert result.interval[0] < 80.0 < result.interval[1]
    compared = metric.compare(metric.statistics(bad), metric.statistics(good))
    assert (compared.difference, compared.p_value < 0.05) == (-30.0, True)
