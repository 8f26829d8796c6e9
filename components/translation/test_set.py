"""Scores translations of any test set: `bitext evaluate`."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from bitext.components.shared.errors import DataError
from bitext.components.shared.metrics import METRICS, Bleu, tokenizers
from bitext.components.shared.metrics.metric import CorpusScore, MetricOptions
from bitext.components.text.normalization import is_blank
from bitext.components.translation.forced_decoding import perplexity
from bitext.components.translation.parallel_text import TextFile, read_parallel
from bitext.components.translation.sentences import LongSentenceReport, Splitting, translate_blocks
from bitext.components.translation.translator import LineTranslator

TOKENIZE_OPTION = "--tokenize"
_BLOCK_LINES = 2048


@dataclasses.dataclass(frozen=True)
class Options:
    """How translations are scored: a `MetricOptions`.

    Attributes:
      tokenize: sacreBLEU's tokenizer for BLEU; `auto`: by the script of the references.
      lowercase: whether letter case is ignored.
      bootstrap_samples: number of resamples for an interval.
    """

    tokenize: str = tokenizers.AUTO
    lowercase: bool = False
    bootstrap_samples: int = 1000


@dataclasses.dataclass(frozen=True)
class TestSet:
    """Lines with their references.

    Attributes:
      sources: the text of each line; None: there is no source file.
      references: the references of each line, at least one; none of a line that is blank in all files.
      hypotheses: the translation of each line; None: they are still to be made.
    """

    __test__ = False  # the name is not that of a pytest class

    sources: list[str] | None
    references: list[list[str]]
    hypotheses: list[str] | None

    @property
    def scored(self) -> list[int]:
        """The indices of the lines that are scored."""
        return [index for index, references in enumerate(self.references) if references]


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of translations.

    Attributes:
      scores: the score of each metric, by its name.
      length_ratio: tokens of the translations divided by tokens of the closest references.
      tokenization: the tokenizer of BLEU, and why it is used.
    """

    scores: dict[str, CorpusScore]
    length_ratio: float
    tokenization: tokenizers.Tokenization


def read_test_set(
    source: TextFile | None, references: Sequence[TextFile], hypothesis: TextFile | None = None
) -> TestSet:
    """Reads the files of a test set.

    A line that is blank in all files is no sentence, and is not scored. A reference that is blank beside
    another one is none: it stands for a source with fewer references than others.

    Raises:
      ConfigError: several files are standard input.
      DataError: a file cannot be read, the numbers of lines differ, a source or a reference is missing, or no
        line has text.
    """
    given = [file for file in (source, hypothesis) if file is not None]
    texts = read_parallel([*given, *references])
    sources = texts.pop(0) if source is not None else None
    hypotheses = texts.pop(0) if hypothesis is not None else None
    of_lines = [[text for text in line if not is_blank(text)] for line in zip(*texts, strict=True)]
    for index, of_line in enumerate(of_lines):
        others = [texts[index] for texts in (sources, hypotheses) if texts is not None]
        if not of_line and not all(map(is_blank, others)):
            raise DataError(
                f"{references[0].place(index + 1)}: the reference is blank, and the line has text in"
                f" {given[[not is_blank(text) for text in others].index(True)].name}",
                "add the reference, or remove the line from all files",
            )
        if of_line and source is not None and sources is not None and is_blank(sources[index]):
            raise DataError(
                f"{source.place(index + 1)}: the source is blank, and the line has a reference",
                "add the source, or remove the line from all files",
            )
    if not any(of_lines):
        raise DataError(f"all lines of {references[0].name} are blank", "name a file with references")
    return TestSet(sources, of_lines, hypotheses)


def tokenization_of(test_set: TestSet, options: Options) -> tokenizers.Tokenization:
    """Chooses or checks the tokenizer of BLEU, as the Evaluator does.

    Raises:
      ConfigError: the tokenizer does not suit the script of the references.
    """
    references = [test_set.references[index] for index in test_set.scored]
    return tokenizers.resolve(options.tokenize, references, TOKENIZE_OPTION)


def score(test_set: TestSet, hypotheses: Sequence[str], options: Options) -> Scores:
    """Scores the translation of each line with every metric.

    Raises:
      ConfigError: the tokenizer does not suit the script of the references.
    """
    tokenization = tokenization_of(test_set, options)
    resolved: MetricOptions = dataclasses.replace(options, tokenize=tokenization.tokenizer)
    scored = test_set.scored
    texts = [hypotheses[index] for index in scored]
    scores, length_ratio = {}, 0.0
    for kind in METRICS:
        metric = kind([test_set.references[index] for index in scored], resolved)
        statistics = metric.statistics(texts)
        scores[metric.name] = metric.score(statistics)
        if kind is Bleu:
            length_ratio = Bleu.length_ratio(statistics)
    return Scores(scores, length_ratio, tokenization)


@dataclasses.dataclass(frozen=True)
class Translations:
    """What a model makes of a test set.

    Attributes:
      texts: the translation of each line.
      seconds: time that the translation took.
      perplexity: perplexity of the references given their sources, per target token; not finite if one of
        the model's log probabilities is not.
    """

    texts: list[str]
    seconds: float
    perplexity: float


def translate_test_set(
    test_set: TestSet, translator: LineTranslator, splitting: Splitting, warn: Callable[[str], None]
) -> Translations:
    """Translates the sources as `bitext translate` does.

    Args:
      test_set: with sources.
      translator: the model.
      splitting: how lines are split into sentences.
      warn: prints one line about sentences that are too long.
    """
    sources = [source.encode() for source in test_set.sources or ()]
    blocks = [sources[start : start + _BLOCK_LINES] for start in range(0, len(sources), _BLOCK_LINES)]
    report, texts, started = LongSentenceReport(warn), list[str](), time.monotonic()
    for block in translate_blocks(translator, blocks, splitting):
        report.add(len(texts) + 1, block.too_long)
        texts += [translations[0].text for translations in block.translations]
    seconds = time.monotonic() - started
    report.finish()
    pairs = [
        (source, reference.encode())
        for source, references in zip(sources, test_set.references, strict=True)
        for reference in references
    ]
    return Translations(texts, seconds, perplexity(translator, pairs))


def to_json(test_set: TestSet, scores: Scores, translations: Translations | None) -> dict[str, Any]:
    """Returns the scores as an object that JSON can hold: `bitext evaluate --json`."""
    scored = len(test_set.scored)
    counts = sorted({len(references) for references in test_set.references if references})
    report: dict[str, Any] = {
        "sentences": scored,
        "blank_lines": len(test_set.references) - scored,
        "references": [counts[0], counts[-1]],
        "tokenizer": scores.tokenization.tokenizer,
        "script": scores.tokenization.script,
        "scores": {name: dataclasses.asdict(score) for name, score in scores.scores.items()},
        "length_ratio": scores.length_ratio,
        "perplexity": None,
        "sentences_per_second": None,
    }
    if translations is not None:
        finite = math.isfinite(translations.perplexity)
        report["perplexity"] = translations.perplexity if finite else None
        report["sentences_per_second"] = scored / max(translations.seconds, 1e-9)
    return report
