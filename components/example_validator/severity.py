"""Decides which anomalies warn and which stop the run."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterator, Sequence

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from bitext.components.example_validator import DEFAULT_RULES, Check, Rule, domains
from bitext.components.shared.errors import ConfigError

_INFO = anomalies_pb2.AnomalyInfo
WARNING, ERROR = _INFO.WARNING, _INFO.ERROR
NO_DATA = "NO_DATA_IN_SPAN"
_COMPARATORS = "COMPARATOR_*"
_OUT_OF_DOMAIN = "ENUM_TYPE_UNEXPECTED_STRING_VALUES"


@dataclasses.dataclass(frozen=True)
class Finding:
    """The anomalies of one severity that one feature has.

    Attributes:
      severity: WARNING or ERROR.
      feature: name of the feature; "" for the data set.
      text: what TFDV found, and what the schema expects.
      outside_domain: whether the feature has values that the schema does not allow.
    """

    severity: int
    feature: str
    text: str
    outside_domain: bool


class Severities:
    """Applies the rules of the configuration, then the default rules, then TFDV's own severity."""

    def __init__(self, rules: Sequence[Rule], contract: schema_pb2.Schema):
        """Checks the rules.

        Args:
          rules: the rules of the configuration; the first that matches an anomaly decides.
          contract: the schema.

        Raises:
          ConfigError: a rule names an anomaly that TFDV does not have.
        """
        for rule in rules:
            if not fnmatch.filter(_INFO.Type.keys(), rule.anomaly):
                raise ConfigError(
                    f"example_validator.severities: TFDV has no anomaly {rule.anomaly!r}",
                    f"use one of its names: {', '.join(sorted(_INFO.Type.keys()))}",
                )
        self._rules = (*rules, *DEFAULT_RULES)
        self._contract = contract
        self._with_shares = {
            feature.name
            for feature in contract.feature
            if feature.distribution_constraints.min_domain_mass < 1.0
        }

    def decide(self, anomalies: anomalies_pb2.Anomalies, check: Check, *, too_few: bool) -> list[Finding]:
        """Sets the severity of every anomaly in place, and returns all anomalies in words.

        Args:
          anomalies: the anomalies that TFDV found. The severity of a feature becomes the highest of its
            anomalies.
          check: the comparison.
          too_few: whether there are too few examples to compare shares of values.

        Returns:
          One finding per feature and severity: those of the data set, then by feature name.
        """
        findings: list[Finding] = []
        if anomalies.HasField("dataset_anomaly_info"):
            findings += self._findings("", anomalies.dataset_anomaly_info, check, too_few)
        for feature in sorted(anomalies.anomaly_info):
            findings += self._findings(feature, anomalies.anomaly_info[feature], check, too_few)
        return findings

    def severity_of(self, anomaly: str, feature: str, check: Check, default: int) -> int:
        """The severity of one anomaly."""
        for rule in self._rules:
            if (
                rule.check in (None, check)
                and fnmatch.fnmatchcase(anomaly, rule.anomaly)
                and fnmatch.fnmatchcase(feature, rule.feature)
            ):
                return WARNING if rule.severity == "warn" else ERROR
        return default

    def _findings(
        self, feature: str, info: anomalies_pb2.AnomalyInfo, check: Check, too_few: bool
    ) -> Iterator[Finding]:
        texts: dict[int, list[str]] = {}
        outside_domain: set[int] = set()
        for reason in info.reason:
            anomaly = _INFO.Type.Name(reason.type)
            if too_few and self._is_share(feature, anomaly):
                severity: int = WARNING
            else:
                severity = self.severity_of(anomaly, feature, check, info.severity)
            detail = reason.description.strip().rstrip(".")
            texts.setdefault(severity, []).append(f"{reason.short_description} ({detail})")
            if anomaly in domains.ANOMALIES:
                outside_domain.add(severity)
        info.severity = max(texts, default=info.severity)
        for severity in sorted(texts):
            text = (f"feature {feature}: " if feature else "") + "; ".join(texts[severity])
            expected = domains.in_words(feature, self._contract) if severity in outside_domain else ""
            if expected:
                text += f"; the schema expects {expected}"
            yield Finding(severity, feature, text, severity in outside_domain)

    def _is_share(self, feature: str, anomaly: str) -> bool:
        """Whether an anomaly is about shares of values, which need many examples."""
        return fnmatch.fnmatchcase(anomaly, _COMPARATORS) or (
            anomaly == _OUT_OF_DOMAIN and feature in self._with_shares
        )
