"""Pusher: puts a blessed model where TensorFlow Serving looks, once, under the next integer version."""

from __future__ import annotations

from bitext.components import artifacts, component
from bitext.components.component import Component, Context


class CardSettings(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    card: CardSettings = CardSettings()


class Pusher(Component[Parameters]):
    """Pushes the model if Evaluator and InfraValidator blessed it."""

    inputs = {
        "examples": artifacts.Examples,
        "rejects": artifacts.Rejects,
        "schema": artifacts.Schema,
        "transformed_examples": artifacts.TransformedExamples,
        "transform_graph": artifacts.TransformGraph,
        "model": artifacts.Model,
        "evaluation": artifacts.ModelEvaluation,
        "blessing": artifacts.ModelBlessing,
        "infra_blessing": artifacts.InfraBlessing,
    }
    outputs = {"pushed_model": artifacts.PushedModel}
    parameters = Parameters
    list_inputs = frozenset({"examples", "rejects"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        rejects: tuple[artifacts.Rejects, ...],
        schema: artifacts.Schema,
        transformed_examples: artifacts.TransformedExamples,
        transform_graph: artifacts.TransformGraph,
        model: artifacts.Model,
        evaluation: artifacts.ModelEvaluation,
        blessing: artifacts.ModelBlessing,
        infra_blessing: artifacts.InfraBlessing,
        pushed_model: artifacts.PushedModel,
    ) -> None:
        from bitext.components.pusher import executor

        executor.run(
            parameters,
            context,
            examples=examples,
            rejects=rejects,
            schema=schema,
            transformed_examples=transformed_examples,
            transform_graph=transform_graph,
            model=model,
            evaluation=evaluation,
            blessing=blessing,
            infra_blessing=infra_blessing,
            pushed_model=pushed_model,
        )

    def still_valid(self, *, pushed_model: artifacts.PushedModel) -> bool:
        """Whether the pushed version is still served, and no rollback has withdrawn it."""
        from bitext.components.pusher import executor

        return executor.still_valid(pushed_model=pushed_model)
