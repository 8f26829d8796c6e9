"""ExampleValidator's work: statistics against the schema and one another, by TFDV, in files and words."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_validator import Check, Parameters, merged_statistics
from bitext.components.example_validator.comparison import Statistics, compare, examples_of
from bitext.components.example_validator.severity import ERROR, NO_DATA, WARNING, Severities
from bitext.components.shared.errors import DataError

EVAL, PREVIOUS, SERVED = "eval", "the previous blessed run", "what serving saw"


def run(
    parameters: Parameters,
    context: Context,
    *,
    statistics: Sequence[artifacts.ExampleStatistics],
    schema: artifacts.Schema,
    previous_statistics: Sequence[artifacts.ExampleStatistics],
    serving_statistics: artifacts.ExampleStatistics | None,
    anomalies: artifacts.ExampleAnomalies,
) -> None:
    """Writes an Anomalies message for every comparison, then judges.

    Every split of every span is held against the schema; all train splits together against all eval splits
    and against what serving saw; and every split of a span that the previous blessed run did not have
    against that split of all the spans it had.

    Raises:
      ConfigError: a rule names no anomaly there is.
      DataError: an anomaly that stops, or no example to train on; it says where the files are.
    """
    contract = schema.load()
    validation = _Validation(parameters, context, contract, anomalies)
    validation.check_presence(statistics)
    for span in statistics:
        validation.check_schema(span)
    train, evaluation = _merged(statistics, "train"), _merged(statistics, "eval")
    if parameters.check_skew:
        validation.check_skew("train_eval", train, evaluation, EVAL)
    known = {_identity(span) for span in previous_statistics}
    previous = functools.cache(lambda split: _merged(previous_statistics, split))
    for span in statistics:
        if previous_statistics and _identity(span) not in known:
            for split in span.splits():
                validation.check_drift(span, split, previous(split))
    if serving_statistics is not None:
        validation.check_skew("serving", train, _load(serving_statistics, "serving"), SERVED)
    validation.judge(anomalies)


class _Validation:
    """The comparisons of one run, what they found, and the verdict."""

    def __init__(
        self,
        parameters: Parameters,
        context: Context,
        contract: schema_pb2.Schema,
        artifact: artifacts.ExampleAnomalies,
    ):
        self._parameters, self._context, self._contract = parameters, context, contract
        self._artifact = artifact
        self._severities = Severities(parameters.severities, contract)
        self._compared: list[str] = []
        self._drifting: set[str] = set()
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def check_presence(self, several: Sequence[artifacts.ExampleStatistics]) -> None:
        """Without spans, every split has examples; of spans, the whole has some to train on.

        A span without any warns, and one without those of a split that another span has.
        """
        counts = {
            artifacts.span_of(one): {split: examples_of(_load(one, split)) for split in one.splits()}
            for one in several
        }
        if list(counts) == [""]:
            self._compared.append(", ".join(counts[""]))
            for split in (split for split, count in counts[""].items() if not count):
                self._add(self._severity_of_no_data(ERROR), f"split {split}: no examples")
            return
        if not any(count.get("train") for count in counts.values()):
            self._add(ERROR, "no span has an example to train on")
        spans = [artifacts.span_of(one) for one in several if "span" in one.properties]
        self._compared.append(f"{len(spans)} span{'s' * (len(spans) != 1)}")
        usual = {split for span in spans for split, count in counts[span].items() if count}
        for span in spans:
            missing = sorted(split for split in usual if not counts[span].get(split))
            severity = self._severity_of_no_data(WARNING)
            if not any(counts[span].values()):
                self._add(severity, f"{span}: no examples")
            elif missing:
                self._add(severity, f"{span}: no examples in split {', '.join(missing)}")

    def _severity_of_no_data(self, default: int) -> int:
        return self._severities.of(NO_DATA, "", "schema", default)

    def check_schema(self, span: artifacts.ExampleStatistics) -> None:
        """Every split of a span, or of a corpus without spans, against the schema."""
        name = artifacts.span_of(span)
        for split in span.splits():
            statistics = _load(span, split)
            found = tfdv.validate_statistics(statistics, self._contract)
            self._take(found, "schema", _place(name, split), _folder(span), split, statistics)

    def check_skew(self, check: Check, train: Statistics, control: Statistics, named: str) -> None:
        """All training examples against others of the same time."""
        if not examples_of(train) or not examples_of(control):
            return
        found = compare(train, control, self._contract, "skew_comparator", shared=check == "serving")
        place = f"train against {named}"
        self._compared.append(place)
        self._take(found, check, place, check.replace("_", "-"), "train", train, control)

    def check_drift(self, span: artifacts.ExampleStatistics, split: str, previous: Statistics) -> None:
        """A split of a new span against what the previous blessed run had of that split."""
        current = _load(span, split)
        if not examples_of(current) or not examples_of(previous):
            return
        found = compare(current, previous, self._contract, "drift_comparator", shared=False)
        name = artifacts.span_of(span)
        place = f"{_place(name, split)} against {PREVIOUS}"
        self._drifting.add(name)
        self._take(found, "drift", place, f"{_folder(span)}/drift", split, current, previous)

    def _take(
        self,
        found: anomalies_pb2.Anomalies,
        check: Check,
        place: str,
        folder: str,
        split: str,
        *sides: Statistics,
    ) -> None:
        """Decides the severities of what was found, writes it and notes it in words."""
        few = min(examples_of(side) for side in sides) < self._parameters.min_examples
        for severity, words in self._severities.decide(found, check, few=few):
            if check == "train_eval":  # TFDV has one word for whatever training data are compared with
                words = words.replace("training and serving", "training and eval")
            self._add(severity, f"{place}: {words}")
        self._artifact.write(found, split, folder)

    def _add(self, severity: int, words: str) -> None:
        (self.warnings if severity == WARNING else self.errors).append(words)

    def judge(self, anomalies: artifacts.ExampleAnomalies) -> None:
        """Says what warns, and stops on what stops."""
        anomalies.properties.update(errors=len(self.errors), warnings=len(self.warnings))
        for words in self.warnings:
            self._context.say(f"warning: {words}")
        if self.errors:
            # The output folder goes with the failed attempt; the working folder stays.
            kept = shutil.copytree(anomalies.path, self._context.working_dir, dirs_exist_ok=True)
            raise DataError(
                f"the data breaks the schema in {len(self.errors)} place{'s' * (len(self.errors) != 1)}"
                f" ({artifacts.ExampleAnomalies.pattern(kept)}):\n"
                + "\n".join(f"  {words}" for words in self.errors),
                "correct the data, or the schema if it asks too much (schema_gen.curated,"
                " schemas/bitext.pbtxt), or have it only warn (example_validator.severities)",
            )
        count = len(self.warnings)
        told = f"{count} warning{'s' * (count != 1)}, no errors" if count else "no anomalies"
        if self._drifting:
            new = f"{len(self._drifting)} new " if "" not in self._drifting else ""
            self._compared.append(f"{new}against {PREVIOUS}")
        self._context.say(f"{'; '.join(self._compared)}: {told}")


def _load(statistics: artifacts.ExampleStatistics, split: str) -> Statistics:
    return statistics.load(split)


def _merged(several: Sequence[artifacts.ExampleStatistics], split: str) -> Statistics:
    """The statistics of a split of all spans; of one alone, as they are."""
    parts = [_load(one, split) for one in several if split in one.splits()]
    return parts[0] if len(parts) == 1 else merged_statistics.merge(parts)


def _identity(statistics: artifacts.ExampleStatistics) -> str:
    """By what the same statistics are known in another run: their content."""
    return statistics.digest or str(statistics.path.resolve())


def _place(span: str, split: str) -> str:
    return f"{span}, split {split}" if span else f"split {split}"


def _folder(statistics: artifacts.ExampleStatistics) -> str:
    """Where a span's messages go: `span-7`; without spans, the folder itself."""
    return f"span-{statistics.properties['span']}" if "span" in statistics.properties else "."
