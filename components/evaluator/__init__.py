"""Evaluator: scores a model on the held-out sets and decides whether it is blessed.

To bless a model is TFX's term for approving it for publishing. Pusher publishes only models that both
Evaluator (quality) and InfraValidator (serving) have blessed.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts, component
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.shared.metrics import METRICS, Bleu
from bitext.components.shared.metrics.tokenizers import AUTO, LIBRARIES, Tokenizer
from bitext.components.shared.suggestions import did_you_mean

GOLDEN = "golden"
"""The split of the golden set: a fixed test file that is scored in every run, as the test split is."""


COPIED, FREQUENT, SHUFFLED = "copied_source", "frequent_target", "shuffled_translations"
TRIVIAL = {
    COPIED: "copying the source",
    FREQUENT: "the most frequent training target",
    SHUFFLED: "the model's translations, shuffled",
}
"""The trivial baselines: what they answer, by name."""


def set_label(split: str) -> str:
    """Returns the label of a held-out set in messages: `test split`, `golden set`, `test set news`."""
    labels = {GOLDEN: "golden set", artifacts.TEST_SPLIT: "test split"}
    return labels.get(split, f"test set {split}")


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The score that a metric must reach.

    Attributes:
      metric: the metric's name.
      value: the smallest score that passes; for an error rate, the largest.
      key: the configuration key below `evaluator` that sets it.
    """

    metric: str
    value: float
    key: str


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is scored, and the scores that it needs to be blessed.

    Attributes:
      blessing_set: the set whose scores decide: `test`, the test split, or the name of one of `test_sets`.
        `min_bleu`, `thresholds`, the trivial baselines and the comparison with the model now served apply to
        it; those of the golden set apply besides. The scores of other sets are only reported.
      min_bleu: smallest BLEU on the blessing's set with which a model is blessed.
      min_golden_bleu: smallest BLEU on the golden set with which a model is blessed.
      thresholds: further thresholds on the blessing's set, by metric: `{chrf: 55, ter: 50}`. They are the
        smallest scores with which a model is blessed; for an error rate (`ter`), the largest.
      golden_thresholds: the same for the golden set.
      beat_trivial_baselines: whether a model is refused if it does not exceed, on the blessing's set, BLEU
        and chrF of every trivial baseline: the copied source, the most frequent target of the training split
        for every sentence, and the model's own translations assigned to other sentences at random. Their
        scores are measured in each run.
      compare_with_baseline: whether to translate the same sentences with the model now served, and compare
        BLEU by paired bootstrap.
      significance: a model is refused as worse than the model now served if on either set its BLEU is lower
        and the p-value of the difference is below this. Two trainings with equal settings differ by chance,
        so a lower BLEU alone does not refuse a model.
      bootstrap_samples: number of bootstrap resamples for the intervals and for the comparison with the
        model now served.
      references: the references of a translation: `by_source`, all translations of its source in the set;
        `by_line`, only the translation on the same line, as for published scores of a test set (see also
        `example_gen.drop_duplicates`).
      max_sentences: largest number of distinct sources scored in a set, chosen by a hash of the text; null:
        all.
      batch_size: number of sentences that are translated at once.
      beam_size: beam size of the scored search; null: the model's default search (`serving_default`).
      length_penalty: larger values prefer longer translations; null: that of the model's default search.
        Needs `beam_size`.
      max_length: maximum number of tokens of a translation; null: that of the model's default search. Needs
        `beam_size`.
      tokenize: sacreBLEU's tokenizer for BLEU. `auto` chooses it by the script of the references: `zh`,
        `ja-mecab` or `ko-mecab` for Chinese, Japanese and Korean, `char` for other scripts without blanks
        between words (Thai, Lao, Khmer, Burmese, ...), else `13a`, which papers report. A tokenizer that does
        not split the script of the references is refused.
      lowercase: whether all metrics ignore letter case.
      length_bins: source lengths, in words, at which each row of the scores by length begins. For sources in
        a script without blanks between words, the rows are in characters: 2 for a word in Chinese and
        Japanese, else 5.
    """

    blessing_set: str = artifacts.TEST_SPLIT
    min_bleu: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    min_golden_bleu: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    thresholds: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    golden_thresholds: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    beat_trivial_baselines: bool = True
    compare_with_baseline: bool = True
    significance: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    bootstrap_samples: Annotated[int, msgspec.Meta(ge=100, le=100_000)] = 1000
    references: Literal["by_source", "by_line"] = "by_source"
    max_sentences: Annotated[int, msgspec.Meta(ge=1)] | None = None
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 128
    beam_size: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    length_penalty: Annotated[float, msgspec.Meta(ge=0, le=10)] | None = None
    max_length: Annotated[int, msgspec.Meta(ge=1)] | None = None
    tokenize: Tokenizer = AUTO
    lowercase: bool = False
    length_bins: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = (1, 5, 9, 13, 17, 25)

    def __post_init__(self) -> None:
        if self.beam_size is None and (self.length_penalty is not None or self.max_length is not None):
            raise ValueError("length_penalty and max_length need beam_size: set it too")
        bins = self.length_bins
        if not bins or bins[0] != 1 or any(a >= b for a, b in itertools.pairwise(bins)):
            raise ValueError(f"length_bins must begin with 1 and increase, received {list(bins)}")
        names = [metric.name for metric in METRICS]
        for key in ("thresholds", "golden_thresholds"):
            for name in getattr(self, key):
                if name not in names:
                    raise ValueError(
                        f"{key}: there is no metric {name!r}; there are {', '.join(names)}"
                        f"{did_you_mean(name, names)}"
                    )

    def thresholds_of(self, split: str, *, defaults: bool = True) -> list[Threshold]:
        """Returns the thresholds of a set, BLEU's first; none for a set that does not decide.

        Args:
          split: the set's split.
          defaults: whether to include a `min_bleu` or `min_golden_bleu` of 0, the default.
        """
        keys = {
            self.blessing_set: ("min_bleu", "thresholds"),
            GOLDEN: ("min_golden_bleu", "golden_thresholds"),
        }
        if split not in keys:
            return []
        bleu_key, others_key = keys[split]
        min_bleu: float = getattr(self, bleu_key)
        others: dict[str, float] = getattr(self, others_key)
        bleu = [Threshold(Bleu.name, min_bleu, bleu_key)] if min_bleu or defaults else []
        return bleu + [Threshold(name, value, f"{others_key}.{name}") for name, value in others.items()]


class Evaluator(Component[Parameters]):
    """Scores a model and decides whether it is blessed."""

    inputs = {
        "examples": artifacts.Examples,
        "golden": artifacts.Examples,
        "model": artifacts.Model,
        "baseline": artifacts.Model,
    }
    outputs = {"evaluation": artifacts.ModelEvaluation, "blessing": artifacts.ModelBlessing}
    parameters = Parameters
    libraries = ("tensorflow", "sacrebleu", "numpy", *LIBRARIES)
    optional = frozenset({"golden", "baseline"})
    list_inputs = frozenset({"examples"})
    obeys_force_bless = True

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        golden: artifacts.Examples | None,
        model: artifacts.Model,
        baseline: artifacts.Model | None,
        evaluation: artifacts.ModelEvaluation,
        blessing: artifacts.ModelBlessing,
    ) -> None:
        with heavy_imports():
            from bitext.components.evaluator import executor
        executor.run(
            parameters,
            context,
            examples=examples,
            golden=golden,
            model=model,
            baseline=baseline,
            evaluation=evaluation,
            blessing=blessing,
        )
