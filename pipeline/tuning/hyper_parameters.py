"""The space in the words of KerasTuner, which TFX's `HyperParameters` has."""

from __future__ import annotations

from typing import Any

from bitext.components.artifacts.tuning import Settings
from bitext.pipeline.tuning.dimensions import Dimension
from bitext.pipeline.tuning.space import Space


def keras_tuner_space(space: Space, default: Settings) -> tuple[dict[str, Any], ...]:
    """Returns the class and the configuration of each setting.

    Args:
      space: the space.
      default: the default value of each key.
    """
    varied = [_of_dimension(dimension, default[dimension.key]) for dimension in space.dimensions]
    others = [key for key in space.keys if key in space.fixed or key in space.same]
    fixed = [_setting("Fixed", key, value=default[key]) for key in others]
    return (*varied, *fixed)


def _of_dimension(dimension: Dimension, default: Any) -> dict[str, Any]:
    if dimension.values:
        return _setting(
            "Choice",
            dimension.key,
            default=default,
            values=list(dimension.values),
            ordered=dimension.is_ordered,
        )
    return _setting(
        "Int" if dimension.is_whole else "Float",
        dimension.key,
        default=default,
        min_value=dimension.low,
        max_value=dimension.high,
        step=dimension.step or (1 if dimension.is_whole and not dimension.is_log else None),
        sampling="log" if dimension.is_log else "linear",
    )


def _setting(kind: str, key: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": key, "conditions": [], **config}}
