"""The values that a schema allows for a feature: in words, and as a search for an example outside them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2

from bitext.components import artifacts
from bitext.components.shared import tfrecord
from bitext.components.shared.display import quoted
from bitext.schemas import features

ANOMALIES = frozenset(
    {
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "FLOAT_TYPE_BIG_FLOAT",
        "FLOAT_TYPE_SMALL_FLOAT",
        "INT_TYPE_BIG_INT",
        "INT_TYPE_SMALL_INT",
    }
)
"""TFDV's names of anomalies that are values outside the domain of a feature."""

_SHOWN_VALUES = 6
_SHOWN_CHARACTERS = 80


def in_words(name: str, schema: schema_pb2.Schema) -> str:
    """The domain of a feature: `1 to 50000`, `Latin, in at least 95% of the examples`; "" if it has none."""
    feature = _feature(name, schema)
    values = _values(feature, schema)
    if values:
        more = len(values) - _SHOWN_VALUES
        listed = ", ".join(values[:_SHOWN_VALUES]) + (f" or {more} others" if more > 0 else "")
        share = feature.distribution_constraints.min_domain_mass
        mass = f", in at least {share:.0%} of the examples" if share < 1.0 else ""
        meaning = "; None: a text without letters" if name.endswith("_script") else ""
        return f"{listed}{mass}{meaning}"
    low, high = _bounds(feature)
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"{low:g} to {high:g}"


def find_example_outside(
    examples: artifacts.Examples, split: str, name: str, schema: schema_pb2.Schema
) -> str:
    """Searches a split for an example whose value of a feature is outside the domain.

    Args:
      examples: the examples that the statistics were computed from.
      split: the split.
      name: the feature.
      schema: the schema with its domain.

    Returns:
      The first such example: its id (source file and line), source and target. "" if there is none.

    Raises:
      DataError: a file of the examples is damaged.
    """
    feature = _feature(name, schema)
    for path in examples.files(split):
        for batch in tfrecord.read_record_batches(path):
            ids, source, target = (
                tfrecord.string_column(batch, column, path) for column in ("id", "source", "target")
            )
            columns = {"source": source, "target": target} | features.derive(source, target)
            if name not in columns:
                return ""
            rows = np.flatnonzero(_outside(columns[name], feature, schema))
            if len(rows):
                row = int(rows[0])
                texts = (_shorten(side[row].as_py()) for side in (source, target))
                return f"{ids[row].as_py()}: {' -> '.join(texts)}"
    return ""


def _outside(values: pa.Array, feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> np.ndarray:
    """Which values are outside the domain: bool[N]."""
    allowed = _values(feature, schema)
    if allowed:
        inside = pc.is_in(values, value_set=pa.array(allowed, pa.string()))
        return ~inside.to_numpy(zero_copy_only=False).astype(bool)
    outside = np.zeros(len(values), bool)
    if pa.types.is_string(values.type):
        return outside
    numbers = values.to_numpy(zero_copy_only=False)
    low, high = _bounds(feature)
    if low is not None:
        outside |= numbers < low
    if high is not None:
        outside |= numbers > high
    return outside


def _feature(name: str, schema: schema_pb2.Schema) -> schema_pb2.Feature:
    for feature in schema.feature:
        if feature.name == name:
            return feature
    return schema_pb2.Feature(name=name)


def _values(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> list[str]:
    """The strings that a feature may have; [] if any or if it is a number."""
    if feature.HasField("string_domain"):
        return list(feature.string_domain.value)
    if feature.HasField("domain"):  # an inferred schema names a domain beside its features
        for domain in schema.string_domain:
            if domain.name == feature.domain:
                return list(domain.value)
    return []


def _bounds(feature: schema_pb2.Feature) -> tuple[float | None, float | None]:
    """The lowest and the highest number that a feature may have; None without a bound."""
    for kind in ("int_domain", "float_domain"):
        if feature.HasField(kind):
            domain = getattr(feature, kind)
            return (
                domain.min if domain.HasField("min") else None,
                domain.max if domain.HasField("max") else None,
            )
    return None, None


def _shorten(text: str) -> str:
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return quoted(shown)
