"""A pipeline of fake components, without TensorFlow: Source -> Train -> Evaluate -> Push."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from bitext.components import artifacts
from bitext.components.component import Component, Context, Parameters
from bitext.components.shared.errors import DataError
from bitext.components.shared.metrics import METRICS, CorpusScore
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.sources import Node, ServedModel


class SourceParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: the `files` to read; `chatter`, which does not change the outputs."""

    files: tuple[str, ...]
    chatter: int = 0


class TrainParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `steps` of training."""

    steps: int = 1


class EvaluateParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: whether to `bless` the model."""

    bless: bool = True


class PushParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `destination` of the push."""

    destination: str


class Calls:
    """Records the calls of the fake components, and runs the hooks of the test.

    Attributes:
      nodes: the names of the nodes that ran, in order.
      hooks: functions to call at the beginning of a node, by its name.
      baselines: the weights of the baseline in each run of Evaluate; None without a baseline.
    """

    nodes: ClassVar[list[str]] = []
    hooks: ClassVar[dict[str, Callable[[Context], None]]] = {}
    baselines: ClassVar[list[str | None]] = []

    @classmethod
    def clear(cls) -> None:
        """Removes all records and hooks."""
        cls.nodes.clear()
        cls.hooks.clear()
        cls.baselines.clear()

    @classmethod
    def enter(cls, node: str, context: Context) -> None:
        """Records the call and runs the hook of the node."""
        cls.nodes.append(node)
        if node in cls.hooks:
            cls.hooks[node](context)


def raising(error: BaseException) -> Callable[[Context], None]:
    """Returns a hook that raises the error."""

    def hook(context: Context) -> None:
        raise error

    return hook


def no_beam() -> Any:
    """Takes the place of the function that creates a Beam pipeline."""
    raise AssertionError("the fakes use no Beam")


class Source(Component[SourceParameters]):
    """Joins the files. Lines that begin with `test` are the test split, all others the train split."""

    inputs = {}
    outputs = {"examples": artifacts.Examples, "rejects": artifacts.Rejects}
    parameters = SourceParameters
    libraries = ("msgspec",)
    uncached_parameters = frozenset({"chatter"})

    def external_inputs(self, parameters: SourceParameters) -> list[str]:
        return list(parameters.files)

    def run(
        self,
        parameters: SourceParameters,
        context: Context,
        *,
        examples: artifacts.Examples,
        rejects: artifacts.Rejects,
    ) -> None:
        Calls.enter("Source", context)
        text = "".join(Path(file).read_text(encoding="utf-8") for file in parameters.files)
        if not text:
            raise DataError("Source: no rows", "give rows")
        lines = text.splitlines(keepends=True)
        for split in ("train", "test"):
            examples.split(split).mkdir()
            split_text = "".join(line for line in lines if line.startswith("test") == (split == "test"))
            (examples.split(split) / "data").write_text(split_text, encoding="utf-8")
            examples.properties[split] = len(split_text.splitlines())
        rejects.write_summary(artifacts.Summary(rows=len(lines) + 2, accepted=len(lines), rejected=2))
        rejects.properties.update(rows=len(lines) + 2, rejected=2)
        context.say(f"{len(text.splitlines())} rows")


class Train(Component[TrainParameters]):
    """Writes the steps and the data as the model. The checkpoint counts the attempts."""

    inputs = {"examples": artifacts.Examples}
    outputs = {"model": artifacts.Model}
    parameters = TrainParameters
    input_splits = {"examples": ("train",)}

    def run(
        self,
        parameters: TrainParameters,
        context: Context,
        *,
        examples: artifacts.Examples,
        model: artifacts.Model,
    ) -> None:
        checkpoint = context.working_dir / "checkpoint"
        with checkpoint.open("a", encoding="utf-8") as file:
            file.write("attempt\n")
        Calls.enter("Train", context)
        text = (examples.split("train") / "data").read_text(encoding="utf-8")
        (model.path / "weights").write_text(f"{parameters.steps} {text}", encoding="utf-8")
        model.properties["attempts"] = len(checkpoint.read_text(encoding="utf-8").splitlines())
        if name := artifacts.ModelRun(context.working_dir).log_name:
            model.properties[artifacts.ModelRun.LOG_PROPERTY] = name


class Evaluate(Component[EvaluateParameters]):
    """Writes the scores and translations that the summary and the status show."""

    inputs = {"model": artifacts.Model, "baseline": artifacts.Model}
    outputs = {"evaluation": artifacts.ModelEvaluation, "blessing": artifacts.ModelBlessing}
    parameters = EvaluateParameters
    optional = frozenset({"baseline"})

    def run(
        self,
        parameters: EvaluateParameters,
        context: Context,
        *,
        model: artifacts.Model,
        baseline: artifacts.Model | None,
        evaluation: artifacts.ModelEvaluation,
        blessing: artifacts.ModelBlessing,
    ) -> None:
        Calls.enter("Evaluate", context)
        Calls.baselines.append(
            None if baseline is None else (baseline.path / "weights").read_text(encoding="utf-8")
        )
        metrics = artifacts.Metrics(
            scores={m.name: CorpusScore(31.25, "nrefs:var|tok:13a", (30.0, 32.5)) for m in METRICS},
            perplexity=4.0,
            length_ratio=1.0,
            by_source_length=(),
            sentences=25,
            sentences_per_second=100.0,
        )
        evaluation.write_metrics(metrics)
        evaluation.properties.update({name: score.score for name, score in metrics.scores.items()})
        evaluation.write_translations(
            artifacts.Translated(f"f:{i}", f"s{i}", f"h{i}", [f"r{i}"], -0.5) for i in range(25)
        )
        blessing.write(artifacts.Verdict(parameters.bless, ["BLEU 31.25 is under 40"]))
        blessing.properties["blessed"] = int(parameters.bless)


class Push(Component[PushParameters]):
    """Pushes to `<destination>/1`, if blessed."""

    inputs = {"model": artifacts.Model, "blessing": artifacts.ModelBlessing}
    outputs = {"pushed_model": artifacts.PushedModel}
    parameters = PushParameters

    def run(
        self,
        parameters: PushParameters,
        context: Context,
        *,
        model: artifacts.Model,
        blessing: artifacts.ModelBlessing,
        pushed_model: artifacts.PushedModel,
    ) -> None:
        Calls.enter("Push", context)
        record = artifacts.Pushed(False, "not blessed")
        if blessing.properties["blessed"]:
            version = Path(parameters.destination) / "1"
            version.mkdir(parents=True, exist_ok=True)
            record = artifacts.Pushed(True, "blessed", "toy", 1, str(version), "abc")
            pushed_model.properties.update(version=1, path=str(version), digest="abc")
        pushed_model.write(record)
        pushed_model.properties["pushed"] = int(record.pushed)

    def still_valid(self, parameters: PushParameters, *, pushed_model: artifacts.PushedModel) -> bool:
        """Whether the pushed version still exists."""
        try:
            record = pushed_model.record()
        except DataError:
            return False
        return record.version is None or (Path(parameters.destination) / str(record.version)).is_dir()


NODES = ("Source", "Train", "Evaluate", "Push")


def pipeline(folder: Path, *, steps: int = 1, bless: bool = True, chatter: int = 0) -> Pipeline:
    """Returns the pipeline that reads `folder/rows.txt` and pushes to `folder/serving/toy`."""
    serving = str(folder / "serving" / "toy")
    source = Node(Source(), SourceParameters(files=(str(folder / "rows.txt"),), chatter=chatter))
    train = Node(Train(), TrainParameters(steps=steps), {"examples": source["examples"]})
    evaluate = Node(
        Evaluate(),
        EvaluateParameters(bless=bless),
        {"model": train["model"], "baseline": ServedModel(serving, other_than="model")},
    )
    push = Node(
        Push(),
        PushParameters(destination=serving),
        {"model": train["model"], "blessing": evaluate["blessing"]},
    )
    return Pipeline("toy", (source, train, evaluate, push))
