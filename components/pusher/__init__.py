"""Pusher: copies a blessed model to the serving folder, under the next integer version."""

from __future__ import annotations

from bitext.components import artifacts, component
from bitext.components.component import Component, Context


class CardSettings(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Statements for the model card that only a person can make. An empty field is left out of the card.

    Attributes:
      languages: source and target language: `English to Spanish`.
      corpus: name and origin of the training corpus.
      licence: license of the corpus with the attribution it requires, in Markdown. Empty: the card says that
        none was stated.
    """

    languages: str = ""
    corpus: str = ""
    licence: str = ""


class Settings(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Pusher's section of the configuration.

    Attributes:
      card: statements for the model card.
      take_over: whether to push into a serving folder whose newest version another pipeline or another
        program wrote. Without it, such a run is refused before its first step. For one run:
        `--set pusher.take_over=true`.
    """

    card: CardSettings = CardSettings()
    take_over: bool = False


class Parameters(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The serving folder, and the settings.

    Attributes:
      destination: the model's serving folder; versions are its subfolders `1`, `2`, ...
      pipeline: the name of the pipeline, which is recorded in the version.
    """

    destination: str
    pipeline: str


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
    uncached_parameters = frozenset({"take_over"})

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

    def still_valid(self, parameters: Parameters, *, pushed_model: artifacts.PushedModel) -> bool:
        """Returns whether the pushed version is still the newest version in the serving folder."""
        from bitext.components.pusher import executor

        return executor.still_valid(parameters, pushed_model=pushed_model)
