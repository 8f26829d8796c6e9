"""Runs ExampleValidator: compares statistics with the schema and with one another, by TFDV."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from bitext.components import artifacts
from bitext.components.artifacts.statistics import SERVING_SPLIT
from bitext.components.component import Context
from bitext.components.example_validator import Check, Parameters, domains, merged_statistics
from bitext.components.example_validator.comparison import Statistics, compare, examples_of
from bitext.components.example_validator.severity import ERROR, NO_DATA, WARNING, Finding, Severities
from bitext.components.shared import directions
from bitext.components.shared.errors import DataError
from bitext.components.shared.parts import count_parts

PREVIOUS = "the previous blessed run"
Cause: TypeAlias = Check | Literal["no_data"]

_REMEDIES: dict[Cause, str] = {
    "no_data": "give every split more rows, or files of its own, in example_gen",
    "schema": "correct the rows, or reject them by rules (example_gen.cleaning: strict; `bitext inspect`"
    " shows the effect); or allow the values: copy schemas/bitext.pbtxt, change the feature, and name"
    " the copy in schema_gen.curated (for scripts: schema_gen.source_scripts and target_scripts)",
    "train_eval": "give train and eval sentences of one kind (example_gen.cleaning: strict rejects noise),"
    " or set example_validator.check_skew: false",
    "drift": "correct the new files; or, if their data is right, add {check: drift, severity: warn} to"
    " example_validator.severities",
    "serving": "train on sentences like the requests, or add {check: serving, severity: warn} to"
    " example_validator.severities",
}


def run(
    parameters: Parameters,
    context: Context,
    *,
    statistics: Sequence[artifacts.ExampleStatistics],
    schema: artifacts.Schema,
    previous_statistics: Sequence[artifacts.ExampleStatistics],
    serving_statistics: artifacts.ExampleStatistics | None,
    anomalies: artifacts.ExampleAnomalies,
    examples: Sequence[artifacts.Examples] = (),
) -> None:
    """Writes the anomalies of every comparison, prints those that warn, and stops the run for the others.

    The comparisons:

    * every split of every span with the schema;
    * the train splits of all spans with the eval splits, and with the log of requests;
    * every split of a span that the previous blessed run did not have with the same split of all its spans.

    Args:
      parameters: the parameters of ExampleValidator.
      context: the folders and the output of the run.
      statistics: the statistics of each span.
      schema: the data contract.
      previous_statistics: the statistics of each span of the previous blessed run.
      serving_statistics: the statistics of the requests to the served model.
      anomalies: receives the anomalies.
      examples: the examples of each span, in the order of `statistics`. Messages quote an example that breaks
        the schema.

    Raises:
      ConfigError: a rule of `severities` names an anomaly that TFDV does not have.
      DataError: an anomaly stops the run, or there is no example to train on.
    """
    validation = _Validation(parameters, context, schema.load(), anomalies)
    validation.check_presence(statistics)
    for index, span in enumerate(statistics):
        validation.check_schema(span, examples[index] if index < len(examples) else None)
    by_part = {artifacts.span_label(part): directions.of(part.properties) for part in examples}
    for line in directions.warnings(by_part) if len(by_part) > 1 else ():
        context.say(f"warning: {line}")
    train, evaluation = _merge(statistics, "train"), _merge(statistics, "eval")
    if parameters.check_skew:
        validation.check_skew("train_eval", train, evaluation, "eval")
    previous_digests = {_digest(span) for span in previous_statistics}
    previous = functools.cache(lambda split: _merge(previous_statistics, split))
    for span in statistics:
        if previous_statistics and _digest(span) not in previous_digests:
            for split in span.splits():
                validation.check_drift(span, split, previous(split))
    if serving_statistics is not None:
        validation.check_skew("serving", train, serving_statistics.load(SERVING_SPLIT), "the requests")
    validation.conclude()


class _Validation:
    """The comparisons of one run and their anomalies."""

    def __init__(
        self,
        parameters: Parameters,
        context: Context,
        contract: schema_pb2.Schema,
        anomalies: artifacts.ExampleAnomalies,
    ):
        self._parameters, self._context, self._contract = parameters, context, contract
        self._artifact = anomalies
        self._severities = Severities(parameters.severities, contract)
        self._comparisons: list[str] = []
        self._new_spans: set[str] = set()
        self._errors: list[str] = []
        self._warnings: list[str] = []
        self._causes: set[Cause] = set()

    def check_presence(self, statistics: Sequence[artifacts.ExampleStatistics]) -> None:
        """Checks that there are examples.

        Without spans, every split must have one. With spans, one of their train splits must have one. A span
        without examples warns, and so does a span without examples in a split that other spans of its corpus
        have.
        """
        counts = {
            artifacts.span_label(span): {split: examples_of(span.load(split)) for split in span.splits()}
            for span in statistics
        }
        if list(counts) == [""]:
            self._comparisons.append(", ".join(counts[""]))
            for split in (split for split, count in counts[""].items() if not count):
                self._add(self._severity_of_no_data(ERROR), "no_data", f"split {split}: no examples")
            return
        if not any(count.get("train") for count in counts.values()):
            self._add(ERROR, "no_data", "no span has an example to train on")
        of_parts = [span for span in statistics if {"corpus", "span"} & {*span.properties}]
        self._comparisons.append(count_parts([artifacts.span_label(span) for span in of_parts]))
        expected: dict[object, set[str]] = {}
        for span in of_parts:
            splits = {split for split, count in counts[artifacts.span_label(span)].items() if count}
            expected.setdefault(span.properties.get("corpus"), set()).update(splits)
        severity = self._severity_of_no_data(WARNING)
        for span in of_parts:
            name = artifacts.span_label(span)
            missing = expected[span.properties.get("corpus")].difference(
                split for split, count in counts[name].items() if count
            )
            if not any(counts[name].values()):
                self._add(severity, "no_data", f"{name}: no examples")
            elif missing:
                self._add(severity, "no_data", f"{name}: no examples in split {', '.join(sorted(missing))}")

    def _severity_of_no_data(self, default: int) -> int:
        return self._severities.severity_of(NO_DATA, "", "schema", default)

    def check_schema(
        self, span: artifacts.ExampleStatistics, examples: artifacts.Examples | None = None
    ) -> None:
        """Compares every split of a span, or of a corpus without spans, with the schema."""
        name = artifacts.span_label(span)
        for split in span.splits():
            statistics = span.load(split)
            anomalies = tfdv.validate_statistics(statistics, self._contract)
            example_of = functools.partial(self._example_of, examples, split)
            self._record(
                anomalies,
                "schema",
                _label(name, split),
                split,
                _folder(span),
                statistics,
                example_of=example_of,
            )

    def _example_of(self, examples: artifacts.Examples | None, split: str, feature: str) -> str:
        """An example that breaks the schema in a feature, as a line of a message; "" if none is known."""
        if examples is None:
            return ""
        example = domains.find_example_outside(examples, split, feature, self._contract)
        return f"\n    for example {example}" if example else ""

    def check_skew(self, check: Check, train: Statistics, control: Statistics, control_name: str) -> None:
        """Compares the train splits of all spans with other data: the eval splits or the log of requests."""
        if not examples_of(train) or not examples_of(control):
            return
        anomalies = compare(train, control, self._contract, "skew_comparator", only_common=check == "serving")
        label = f"train against {control_name}"
        self._comparisons.append(label)
        self._record(anomalies, check, label, "train", check.replace("_", "-"), train, control)

    def check_drift(self, span: artifacts.ExampleStatistics, split: str, previous: Statistics) -> None:
        """Compares a split of a new span with that split of the previous blessed run."""
        current = span.load(split)
        if not examples_of(current) or not examples_of(previous):
            return
        anomalies = compare(current, previous, self._contract, "drift_comparator", only_common=False)
        name = artifacts.span_label(span)
        self._new_spans.add(name)
        label = f"{_label(name, split)} against {PREVIOUS}"
        self._record(anomalies, "drift", label, split, f"{_folder(span)}/drift", current, previous)

    def _record(
        self,
        anomalies: anomalies_pb2.Anomalies,
        check: Check,
        label: str,
        split: str,
        folder: str,
        *compared: Statistics,
        example_of: Callable[[str], str] | None = None,
    ) -> None:
        """Decides the severities of a comparison's anomalies, writes them, and adds them to the messages."""
        too_few = min(examples_of(side) for side in compared) < self._parameters.min_examples
        for finding in self._severities.decide(anomalies, check, too_few=too_few):
            text = _in_words(finding, check)
            if finding.severity == ERROR and finding.outside_domain and example_of is not None:
                text += example_of(finding.feature)
            self._add(finding.severity, check, f"{label}: {text}")
        self._artifact.write(anomalies, split, folder)

    def _add(self, severity: int, cause: Cause, text: str) -> None:
        if severity == WARNING:
            self._warnings.append(text)
        else:
            self._errors.append(text)
            self._causes.add(cause)

    def conclude(self) -> None:
        """Prints the warnings and one line about all comparisons.

        Raises:
          DataError: an anomaly stops the run.
        """
        self._artifact.properties.update(errors=len(self._errors), warnings=len(self._warnings))
        for text in self._warnings:
            self._context.say(f"warning: {text}")
        if self._errors:
            folder = self._context.keep(self._artifact.path)
            count = len(self._errors)
            raise DataError(
                f"the data breaks the schema in {count} place{'s' * (count != 1)}"
                f" ({self._artifact.pattern(folder)}):\n" + "\n".join(f"  {text}" for text in self._errors),
                "; ".join(remedy for cause, remedy in _REMEDIES.items() if cause in self._causes),
            )
        count = len(self._warnings)
        outcome = f"{count} warning{'s' * (count != 1)}, no errors" if count else "no anomalies"
        if self._new_spans:
            new = f"{len(self._new_spans)} new " if "" not in self._new_spans else ""
            self._comparisons.append(f"{new}against {PREVIOUS}")
        self._context.say(f"{'; '.join(self._comparisons)}: {outcome}")


def _in_words(finding: Finding, check: Check) -> str:
    # TFDV calls the control "serving", also if it is the eval split.
    if check == "train_eval":
        return finding.text.replace("training and serving", "training and eval")
    return finding.text


def _merge(statistics: Sequence[artifacts.ExampleStatistics], split: str) -> Statistics:
    """The statistics of a split of all spans together."""
    parts = [span.load(split) for span in statistics if split in span.splits()]
    return parts[0] if len(parts) == 1 else merged_statistics.merge(parts)


def _digest(statistics: artifacts.ExampleStatistics) -> str:
    """The digest of the content, which identifies equal statistics of different runs; else the path."""
    return statistics.digest or str(statistics.path.resolve())


def _label(span: str, split: str) -> str:
    return f"{span}, split {split}" if span else f"split {split}"


def _folder(statistics: artifacts.ExampleStatistics) -> str:
    """The folder of a part's anomalies below the artifact: `europarl`, `europarl/span-7`, `span-7`, `.`."""
    properties = statistics.properties
    names = [str(properties["corpus"])] if "corpus" in properties else []
    names += [f"span-{properties['span']}"] if "span" in properties else []
    return "/".join(names) or "."
