"""Pusher: puts a blessed model where TensorFlow Serving looks, once, under the next integer version."""

from __future__ import annotations

from components import artifacts, component


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model is pushed.

    Attributes:
      destination: the model's serving folder; versions become its subfolders `1`, `2`, ... The
        pipeline fills in the configuration's `serving`, and takes nothing else.
    """

    destination: str = ""


COMPONENT = component.Component(
    name="Pusher",
    inputs={
        "model": artifacts.Model,
        "blessing": artifacts.ModelBlessing,
        "infra_blessing": artifacts.InfraBlessing,
        "evaluation": artifacts.ModelEvaluation,
    },
    outputs={"pushed_model": artifacts.PushedModel},
    parameters=Parameters,
    function="components.pusher.executor:run",
    still_valid="components.pusher.executor:still_valid",
)
