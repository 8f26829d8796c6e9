"""Reporter: draws what the pipeline knows of the data, the training and the model as sections of a report."""

from __future__ import annotations

import dataclasses

from bitext.components import artifacts, component
from bitext.components.component import Component, Context, heavy_imports


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Reporter has no parameters: a report shows what there is."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The artifacts that a report is made from. A run that failed has only some of them.

    Attributes:
      examples: the examples of each span.
      rejects: the rows of each span that did not become examples.
      left_out: the training pairs that Transform leaves out.
      golden: the golden set and the test sets.
      statistics: the statistics of each span.
      previous_statistics: the statistics of an earlier blessed run with other data.
      schema: the data contract.
      anomalies: how the data differs from the schema and from earlier data.
      transform_graph: the vocabulary.
      transformed_examples: the token ids.
      model_run: the record of the training.
      previous_model_run: the record of the training of an earlier blessed run.
      evaluation: the scores and translations.
      blessing: the Evaluator's verdict.
      infra_blessing: the InfraValidator's verdict.
      is_partial: whether the report is of a run that did not make one itself. Then the lengths of the
        sentences of a large corpus are those of its first rows, so that the end of such a run takes seconds.
    """

    examples: tuple[artifacts.Examples, ...] = ()
    rejects: tuple[artifacts.Rejects, ...] = ()
    left_out: artifacts.Rejects | None = None
    golden: artifacts.Examples | None = None
    statistics: tuple[artifacts.ExampleStatistics, ...] = ()
    previous_statistics: tuple[artifacts.ExampleStatistics, ...] = ()
    schema: artifacts.Schema | None = None
    anomalies: artifacts.ExampleAnomalies | None = None
    transform_graph: artifacts.TransformGraph | None = None
    transformed_examples: artifacts.TransformedExamples | None = None
    model_run: artifacts.ModelRun | None = None
    previous_model_run: artifacts.ModelRun | None = None
    evaluation: artifacts.ModelEvaluation | None = None
    blessing: artifacts.ModelBlessing | None = None
    infra_blessing: artifacts.InfraBlessing | None = None
    is_partial: bool = False


class Reporter(Component[Parameters]):
    """Writes the sections of the report about data, vocabulary, training and evaluation."""

    inputs = {
        "examples": artifacts.Examples,
        "rejects": artifacts.Rejects,
        "left_out": artifacts.Rejects,
        "golden": artifacts.Examples,
        "statistics": artifacts.ExampleStatistics,
        "previous_statistics": artifacts.ExampleStatistics,
        "schema": artifacts.Schema,
        "anomalies": artifacts.ExampleAnomalies,
        "transform_graph": artifacts.TransformGraph,
        "transformed_examples": artifacts.TransformedExamples,
        "model_run": artifacts.ModelRun,
        "previous_model_run": artifacts.ModelRun,
        "evaluation": artifacts.ModelEvaluation,
        "blessing": artifacts.ModelBlessing,
        "infra_blessing": artifacts.InfraBlessing,
    }
    outputs = {"report": artifacts.Report}
    parameters = Parameters
    libraries = ("numpy", "sacrebleu")
    optional = frozenset({"golden", "previous_statistics", "previous_model_run"})
    list_inputs = frozenset({"examples", "rejects", "statistics", "previous_statistics"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        rejects: tuple[artifacts.Rejects, ...],
        left_out: artifacts.Rejects,
        golden: artifacts.Examples | None,
        statistics: tuple[artifacts.ExampleStatistics, ...],
        previous_statistics: tuple[artifacts.ExampleStatistics, ...],
        schema: artifacts.Schema,
        anomalies: artifacts.ExampleAnomalies,
        transform_graph: artifacts.TransformGraph,
        transformed_examples: artifacts.TransformedExamples,
        model_run: artifacts.ModelRun,
        previous_model_run: artifacts.ModelRun | None,
        evaluation: artifacts.ModelEvaluation,
        blessing: artifacts.ModelBlessing,
        infra_blessing: artifacts.InfraBlessing,
        report: artifacts.Report,
    ) -> None:
        inputs = Inputs(
            examples=examples,
            rejects=rejects,
            left_out=left_out,
            golden=golden,
            statistics=statistics,
            previous_statistics=previous_statistics,
            schema=schema,
            anomalies=anomalies,
            transform_graph=transform_graph,
            transformed_examples=transformed_examples,
            model_run=model_run,
            previous_model_run=previous_model_run,
            evaluation=evaluation,
            blessing=blessing,
            infra_blessing=infra_blessing,
        )
        with heavy_imports():
            from bitext.components.reporter import executor
        executor.run(context, inputs, report)
