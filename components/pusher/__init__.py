"""Pusher: puts a blessed model where TensorFlow Serving looks, once, under the next integer version."""

from __future__ import annotations

from bitext.components import artifacts, component


class Stated(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What only a person can say of the model, for its card. Empty: the card does not say it.

    Attributes:
      languages: from which to which: `English to Spanish`.
      corpus: what the model was trained on, and where that comes from.
      licence: what the corpus may be used for, and the attribution it asks for, in Markdown. Empty: the card
        says that none was stated.
    """

    languages: str = ""
    corpus: str = ""
    licence: str = ""


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model is pushed, and what is said of it there.

    Attributes:
      destination: the model's serving folder; versions become its subfolders `1`, `2`, ... The
        pipeline fills in the configuration's `serving`, and takes nothing else.
      card: what is stated on the model card.
    """

    destination: str = ""
    card: Stated = Stated()


COMPONENT = component.Component(
    name="Pusher",
    inputs={
        "examples": artifacts.Examples,
        "rejects": artifacts.Rejects,
        "schema": artifacts.Schema,
        "transformed_examples": artifacts.Examples,
        "transform_graph": artifacts.TransformGraph,
        "model": artifacts.Model,
        "evaluation": artifacts.ModelEvaluation,
        "blessing": artifacts.ModelBlessing,
        "infra_blessing": artifacts.InfraBlessing,
    },
    outputs={"pushed_model": artifacts.PushedModel},
    several=frozenset({"examples", "rejects"}),
    parameters=Parameters,
    function="bitext.components.pusher.executor:run",
    still_valid="bitext.components.pusher.executor:still_valid",
)
