"""ModelEvaluation: scores and translations of the held-out sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.artifacts.examples import TEST_SPLIT
from bitext.components.shared.files import write_json
from bitext.components.shared.metrics.metric import Comparison, CorpusScore


class LengthRow(msgspec.Struct, frozen=True):
    """BLEU of the sources of some lengths.

    Attributes:
      first: the smallest length, in `Metrics.source_unit`.
      last: the largest length; None in the last row.
      sentences: number of sources.
      bleu: their BLEU.
    """

    first: int = msgspec.field(name="from")
    last: int | None = msgspec.field(name="to")
    sentences: int
    bleu: float


class BaselineComparison(msgspec.Struct, frozen=True):
    """The comparison with the model now served, by paired bootstrap on the same sentences.

    Attributes:
      bleu: BLEU of the model now served.
      interval: the 95 % interval of that BLEU.
      difference: BLEU of the new model minus BLEU of the model now served.
      p_value: two-sided p-value of the difference.
      by_metric: the comparison in each metric, by its name, BLEU included; empty: only BLEU was compared, as
        in older files.
    """

    bleu: float
    interval: tuple[float, float]
    difference: float
    p_value: float
    by_metric: dict[str, Comparison] = {}


class TrivialScore(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of a trivial baseline: answers that need no model.

    Attributes:
      scores: its score by the metric's name: `bleu`, `chrf`. `bleu` is left out where no reference has four
        tokens: BLEU is then 0 for every translation.
      p_values: by metric, the two-sided p-value of the difference to the model's score, by paired bootstrap;
        empty: not measured.
      text: the answer, if all sources have the same one.
    """

    scores: dict[str, float]
    p_values: dict[str, float] = {}
    text: str | None = None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of a model on the test split, on the golden set, and on named test sets.

    In JSON, the scores are fields beside the others: `bleu`, `chrf`.

    Attributes:
      scores: the score of each metric, by its name: `bleu`, `chrf`.
      perplexity: perplexity of the references given their sources, per token; None: not finite.
      length_ratio: tokens of the translations divided by tokens of the closest references.
      by_source_length: BLEU by the source's length.
      source_unit: the unit of the source's length: `words`, or `characters` in a script without blanks
        between words.
      tokenizer: sacreBLEU's tokenizer, whose tokens BLEU and `length_ratio` count; None: not recorded, as
        in older files.
      sentences: number of sentences that were translated.
      sentences_per_second: speed of the translation in this run.
      baseline: the comparison with the model now served; None: there is none.
      trivial: the scores of the trivial baselines on the test split, by name: `copied_source`,
        `frequent_target`, `shuffled_translations`; empty: not measured.
      golden: the same figures on the golden set; None: there is none.
      test_sets: the same figures on each named test set.
    """

    scores: dict[str, CorpusScore]
    perplexity: float | None
    length_ratio: float
    by_source_length: tuple[LengthRow, ...]
    source_unit: str = "words"
    tokenizer: str | None = None
    sentences: int
    sentences_per_second: float
    baseline: BaselineComparison | None = None
    trivial: dict[str, TrivialScore] = {}
    golden: Metrics | None = None
    test_sets: dict[str, Metrics] = {}

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `metrics.json`. Numbers that are not finite are null in it."""
        golden = self.golden._fields() if self.golden else None
        test_sets = {name: metrics._fields() for name, metrics in self.test_sets.items()}
        return {**self._fields(), "golden": golden, "test_sets": test_sets}

    def _fields(self) -> dict[str, Any]:
        """Returns the figures of one set."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        scores = fields.pop("scores")
        del fields["golden"], fields["test_sets"]
        return {**scores, **fields}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Metrics:
        """Returns the metrics with this content of `metrics.json`.

        Raises:
          msgspec.ValidationError: a field is missing or of another type.
        """
        others = {name: content[name] for name in cls.__struct_fields__ if name in content}
        scores = {name: value for name, value in content.items() if name not in cls.__struct_fields__}
        golden = msgspec.convert(others.pop("golden", None), dict[str, Any] | None)
        test_sets = msgspec.convert(others.pop("test_sets", {}), dict[str, dict[str, Any]])
        return msgspec.structs.replace(
            msgspec.convert({**others, "scores": scores}, cls),
            golden=None if golden is None else cls.from_json(golden),
            test_sets={name: cls.from_json(fields) for name, fields in test_sets.items()},
        )


class Translated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A held-out sentence and its translation.

    Attributes:
      id: the id of the first example with this source.
      source: the sentence.
      hypothesis: the model's translation of it.
      references: the translations that the hypothesis is scored against.
      score: the score that the search gave the hypothesis.
      scores: the hypothesis's sentence score by metric: `bleu` (smoothed, as sacreBLEU's `sentence_bleu`),
        `chrf`, `chrfpp`, `ter`; empty: not recorded, as in older files.
      part: the label of the span or corpus that the example is from; empty: there is only one, or it is not
        recorded.
      served: the translation by the model now served; None: there was no comparison with it.
      served_scores: the sentence scores of that translation; empty: there are none.
    """

    id: str
    source: str
    hypothesis: str
    references: list[str]
    score: float | None
    scores: dict[str, float] = {}
    part: str = ""
    served: str | None = None
    served_scores: dict[str, float] = {}


class Aligned(msgspec.Struct, frozen=True):
    """The attention of a translation.

    Attributes:
      id: the sentence's id: `Translated.id`.
      source: the source tokens, `</s>` included.
      target: the tokens of the hypothesis, `</s>` included unless it was cut at the maximum length.
      weights: for each target token, the weight of each source token in whole percent. A row adds up to 100
        but for rounding.
    """

    id: str
    source: list[str]
    target: list[str]
    weights: list[list[int]]


class ModelEvaluation(Artifact):
    """Scores on the held-out sets::

    metrics.json                scores with signatures and intervals, perplexity, ...; `golden` and
                                `test_sets`: the same of other sets
    translations.jsonl          {"id", "source", "hypothesis", "references", "score", "scores", "part",
                                "served", "served_scores"} for each sentence; `part` and the served model's
                                translation with its scores if there are any
    alignments.jsonl            {"id", "source", "target", "weights"} for each sentence whose translation has
                                attention; no file for a model without attention
    translations-golden.jsonl   the same for the golden set, if there is one
    alignments-golden.jsonl
    translations-<name>.jsonl   the same for each named test set
    alignments-<name>.jsonl
    """

    TYPE_NAME = "ModelEvaluation"
    FILES = ("metrics.json", "translations.jsonl", "translations-", "alignments.jsonl", "alignments-")
    NODE = "Evaluator"

    def metrics(self) -> Metrics:
        """Reads the scores.

        Raises:
          DataError: the file is missing or damaged.
        """
        path = self.path / "metrics.json"
        content = self.read_json(path, dict[str, Any])
        with self.reporting_damage(path):
            return Metrics.from_json(content)

    def write_metrics(self, metrics: Metrics) -> None:
        """Writes the scores."""
        write_json(self.path / "metrics.json", metrics.to_json())

    def translations_file(self, split: str = TEST_SPLIT) -> Path:
        """Returns the file of a set's translations."""
        return self.path / ("translations.jsonl" if split == TEST_SPLIT else f"translations-{split}.jsonl")

    def translations(self, split: str = TEST_SPLIT) -> list[Translated]:
        """Reads the translations of a set: the test split, `golden`, or a named test set.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json_lines(self.translations_file(split), Translated)

    def alignments_file(self, split: str = TEST_SPLIT) -> Path:
        """Returns the file of the attention of a set's translations."""
        return self.path / ("alignments.jsonl" if split == TEST_SPLIT else f"alignments-{split}.jsonl")

    def alignments(self, split: str = TEST_SPLIT) -> dict[str, Aligned]:
        """Reads the attention of a set's translations, by the sentence's id; empty: none is recorded.

        Raises:
          DataError: the file is damaged.
        """
        path = self.alignments_file(split)
        if not path.exists():
            return {}
        return {row.id: row for row in self.read_json_lines(path, Aligned)}

    def write_alignments(self, rows: Iterable[Aligned], split: str = TEST_SPLIT) -> None:
        """Writes the attention of a set's translations; no file if there is none."""
        lines = [msgspec.json.encode(row) + b"\n" for row in rows]
        if lines:
            self.alignments_file(split).write_bytes(b"".join(lines))

    def write_translations(self, rows: Iterable[Translated], split: str = TEST_SPLIT) -> None:
        """Writes the translations of a set."""
        with self.translations_file(split).open("wb") as file:
            file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
