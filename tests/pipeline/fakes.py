"""Components without TensorFlow, wired as the real ones are: Source -> Train -> Evaluate -> Push."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from bitext.components import artifacts
from bitext.components.component import Component, Context, Parameters
from bitext.components.shared.errors import DataError
from bitext.pipeline.graph import Node, Pipeline, ServedModel


class SourceParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `files` read; `chatter`, which changes no output."""

    files: tuple[str, ...]
    chatter: int = 0


class TrainParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `steps` of training."""

    steps: int = 1


class EvaluateParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `bless` the model or not."""

    bless: bool = True


class PushParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `destination` of the push."""

    destination: str


class Calls:
    """What was called, in order, and what is to happen inside the next calls."""

    nodes: ClassVar[list[str]] = []
    inside: ClassVar[dict[str, Callable[[Context], None]]] = {}
    baselines: ClassVar[list[str | None]] = []

    @classmethod
    def enter(cls, node: str, context: Context) -> None:
        """Notes the call, then does what a test has planted."""
        cls.nodes.append(node)
        if node in cls.inside:
            cls.inside[node](context)


class Source(Component[SourceParameters]):
    """Joins the files: lines that begin with `test` are the test split."""

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
            raise DataError("Source: no rows", "Give rows.")
        lines = text.splitlines(keepends=True)
        for split in ("train", "test"):
            examples.split(split).mkdir()
            chosen = "".join(line for line in lines if line.startswith("test") == (split == "test"))
            (examples.split(split) / "data").write_text(chosen, encoding="utf-8")
            examples.properties[split] = len(chosen.splitlines())
        (rejects.path / "summary.json").write_text("{}", encoding="utf-8")
        rejects.properties.update(rows=len(lines) + 2, rejected=2)
        context.say(f"{len(text.splitlines())} rows")


class Train(Component[TrainParameters]):
    """The model is its data and its steps; a count in the working folder shows resumption."""

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


class Evaluate(Component[EvaluateParameters]):
    """Writes what the summary and the status read."""

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
        bleu = {"score": 31.25, "signature": "nrefs:var|tok:13a", "interval": [30.0, 32.5]}
        (evaluation.path / "metrics.json").write_text(json.dumps({"bleu": bleu}), encoding="utf-8")
        evaluation.properties["bleu"] = 31.25
        rows = [
            {"id": f"f:{i}", "source": f"s{i}", "hypothesis": f"h{i}", "references": [f"r{i}"], "score": -0.5}
            for i in range(25)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (evaluation.path / "translations.jsonl").write_text(lines, encoding="utf-8")
        verdict = "BLESSED" if parameters.bless else "NOT_BLESSED"
        (blessing.path / verdict).write_text(
            json.dumps({"reasons": ["BLEU 31.25 is under 40"]}), encoding="utf-8"
        )
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
        report: dict[str, object] = {"pushed": False, "model": "toy", "reason": "not blessed"}
        if blessing.properties["blessed"]:
            version = Path(parameters.destination) / "1"
            version.mkdir(parents=True, exist_ok=True)
            report |= {
                "pushed": True,
                "version": 1,
                "path": str(version),
                "digest": "abc",
                "reason": "blessed",
            }
            pushed_model.properties.update(version=1, path=str(version), digest="abc")
        (pushed_model.path / "pushed.json").write_text(json.dumps(report), encoding="utf-8")
        pushed_model.properties["pushed"] = int(bool(report["pushed"]))

    def still_valid(self, *, pushed_model: artifacts.PushedModel) -> bool:
        """Whether the pushed version is still there."""
        report = json.loads((pushed_model.path / "pushed.json").read_text(encoding="utf-8"))
        return not report["pushed"] or Path(report["path"]).is_dir()


NODES = ("Source", "Train", "Evaluate", "Push")


def pipeline(folder: Path, *, steps: int = 1, bless: bool = True, chatter: int = 0) -> Pipeline:
    """The pipeline over `folder/rows.txt`, pushing to `folder/serving`."""
    read = Node(Source(), SourceParameters(files=(str(folder / "rows.txt"),), chatter=chatter))
    trained = Node(Train(), TrainParameters(steps=steps), {"examples": read["examples"]})
    scored = Node(
        Evaluate(),
        EvaluateParameters(bless=bless),
        {"model": trained["model"], "baseline": ServedModel(str(folder / "serving"))},
    )
    pushed = Node(
        Push(),
        PushParameters(destination=str(folder / "serving")),
        {"model": trained["model"], "blessing": scored["blessing"]},
    )
    return Pipeline("toy", (read, trained, scored, pushed))
