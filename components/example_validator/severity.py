"""Which anomalies warn, and which stop the run."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from bitext.components.example_validator import DEFAULT_RULES, Check, Rule
from bitext.components.shared.errors import ConfigError

_INFO = anomalies_pb2.AnomalyInfo
WARNING, ERROR = _INFO.WARNING, _INFO.ERROR
OF_SHARES = "COMPARATOR_*"
OUT_OF_DOMAIN = "ENUM_TYPE_UNEXPECTED_STRING_VALUES"
NO_DATA = "NO_DATA_IN_SPAN"
Words = tuple[int, str]


class Severities:
    """Decides by the rules of the configuration, then by the default rules, then as TFDV does.

    Raises:
      ConfigError: a rule names no anomaly there is.
    """

    def __init__(self, rules: Sequence[Rule], contract: schema_pb2.Schema):
        for rule in rules:
            if not fnmatch.filter(_INFO.Type.keys(), rule.anomaly):
                raise ConfigError(
                    f"example_validator.severities: TFDV has no anomaly {rule.anomaly!r}",
                    f"it has {', '.join(sorted(_INFO.Type.keys()))}",
                )
        self._rules = (*rules, *DEFAULT_RULES)
        self._shares = {f.name for f in contract.feature if f.distribution_constraints.min_domain_mass < 1.0}

    def decide(self, found: anomalies_pb2.Anomalies, check: Check, *, few: bool) -> list[Words]:
        """Sets the severity of every anomaly in place; returns each with its text, by feature.

        Args:
          found: what TFDV found. A feature's severity becomes that of its gravest anomaly.
          check: what was compared.
          few: there are too few examples for shares to tell anything.
        """
        words: list[Words] = []
        if found.HasField("dataset_anomaly_info"):
            words += self._decide("", found.dataset_anomaly_info, check, few)
        for feature in sorted(found.anomaly_info):
            words += self._decide(feature, found.anomaly_info[feature], check, few)
        return words

    def of(self, anomaly: str, feature: str, check: Check, default: int) -> int:
        """The severity of one anomaly."""
        for rule in self._rules:
            if (
                rule.check in (None, check)
                and fnmatch.fnmatchcase(anomaly, rule.anomaly)
                and fnmatch.fnmatchcase(feature, rule.feature)
            ):
                return WARNING if rule.severity == "warn" else ERROR
        return default

    def _decide(
        self, feature: str, info: anomalies_pb2.AnomalyInfo, check: Check, few: bool
    ) -> Iterator[Words]:
        told: dict[int, list[str]] = {}
        for reason in info.reason:
            name = _INFO.Type.Name(reason.type)
            if few and self._is_of_shares(feature, name):
                severity: int = WARNING
            else:
                severity = self.of(name, feature, check, info.severity)
            detail = reason.description.strip().rstrip(".")
            told.setdefault(severity, []).append(f"{reason.short_description} ({detail})")
        info.severity = max(told, default=info.severity)
        for severity in sorted(told):
            yield severity, (f"feature {feature}: " if feature else "") + "; ".join(told[severity])

    def _is_of_shares(self, feature: str, anomaly: str) -> bool:
        return fnmatch.fnmatchcase(anomaly, OF_SHARES) or (
            anomaly == OUT_OF_DOMAIN and feature in self._shares
        )
