"""After any sequence of commands, `bitext gc` leaves what the next run would have found in the cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts.base import SAVED_MODEL_FILE
from bitext.components.artifacts.pushed import ServedVersion, VersionMetadata
from bitext.components.component import Context
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.pusher import serving
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import housekeeping
from bitext.pipeline.config import Metadata, PipelineConfig
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import State
from bitext.pipeline.rollback import roll_back
from bitext.pipeline.runner import Runner, Selection
from bitext.pipeline.sources import Node
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls, PushParameters, raising

CONFIG = PipelineConfig(
    name="toy", root="root", serving="serving/toy", example_gen=ExampleGenParameters(files=("rows.txt",))
)


class VersionedPush(fakes.Push):
    """Pushes blessed models to versions 1, 2, ... as the Pusher does."""

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
        destination = Path(parameters.destination)
        destination.mkdir(parents=True, exist_ok=True)
        saved_model = context.temp_dir / "saved_model"
        shutil.copytree(model.path, saved_model)
        (saved_model / SAVED_MODEL_FILE).write_bytes(b"x")
        digest = artifacts.model_digest(saved_model)
        record = artifacts.Pushed(False, "refused")
        if blessing.properties["blessed"] and digest not in serving.withdrawn(destination):
            newest = serving.newest_version(destination)
            metadata = newest.metadata()
            version = int(newest.path.name)
            if metadata is None or metadata.digest != digest:
                version += 1
                new = VersionMetadata(digest, withdrawn=serving.withdrawn(destination), pipeline="toy")
                files = {ServedVersion.METADATA: new.encode()}
                serving.publish(saved_model, destination, version, digest, files)
            record = artifacts.Pushed(True, "blessed", "toy", version, "", digest)
            pushed_model.properties.update(version=version, digest=digest)
        pushed_model.write(record)
        pushed_model.properties["pushed"] = int(record.pushed)

    def still_valid(self, parameters: PushParameters, *, pushed_model: artifacts.PushedModel) -> bool:
        record = pushed_model.record()
        newest = serving.newest_version(Path(parameters.destination))
        return not record.pushed or int(newest.path.name) == record.version


def pipeline(steps: int, bless: bool) -> Pipeline:
    """Returns the fake pipeline with versions, in the working directory."""
    *nodes, push = fakes.pipeline(Path(), steps=steps, bless=bless).nodes
    return Pipeline("toy", (*nodes, Node(VersionedPush(), push.parameters, push.inputs)))


def run(steps: int, bless: bool, selection: Selection | None = None) -> list[str]:
    """Runs the pipeline and returns the names of the nodes that were executed."""
    Calls.nodes.clear()
    runner = Runner(
        pipeline(steps, bless),
        Layout(Path("root")),
        lambda: Store(Metadata(), Path("root"), "toy"),
        fakes.no_beam,
        Terminal(),
    )
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        runner.run(selection or Selection())
    return list(Calls.nodes)


def fail(steps: int, bless: bool, node: str) -> None:
    """Runs the pipeline, in which a node fails if it is not cached."""
    Calls.hooks[node] = raising(ValueError("no"))
    with contextlib.suppress(ValueError):
        run(steps, bless)
    Calls.hooks.clear()


@contextlib.contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    """Context manager: changes to a folder that has the rows."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("rows.txt").write_text("a\tb\n", encoding="utf-8")
        yield
    finally:
        os.chdir(before)


NODES = ("Source", "Train", "Evaluate", "VersionedPush")
COMMANDS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("fail"), st.sampled_from(["Train", "Evaluate", "Push"])),
    st.tuples(st.just("node"), st.sampled_from(NODES)),
    st.tuples(st.just("rollback"), st.booleans()),
    st.tuples(st.just("gc"), st.integers(1, 2)),
)


@given(commands=st.lists(COMMANDS, max_size=9), keep=st.integers(1, 2))
@example(commands=[("run", 1, True), ("run", 2, True), ("rollback", False)], keep=1)
@example(commands=[("run", 1, True), ("run", 2, True), ("node", "VersionedPush")], keep=1)
@example(commands=[("run", 1, True), ("fail", "Evaluate"), ("gc", 1), ("rollback", True)], keep=1)
@settings(max_examples=12)
def test_the_next_run_finds_all_that_it_would_have_found(commands: list[tuple], keep: int) -> None:
    steps, bless = 1, True
    with tempfile.TemporaryDirectory() as name, working_directory(Path(name)):
        for command, *arguments in (("run", 1, True), *commands):
            if command == "run":
                steps, bless = arguments
                run(steps, bless)
            elif command == "fail":
                fail(steps, bless, *arguments)
            elif command == "node":
                with contextlib.suppress(ConfigError):  # a node before it has no outputs
                    run(steps, bless, Selection(arguments[0], arguments[0]))
            elif command == "rollback":
                version = int(serving.newest_version(Path("serving/toy")).path.name)
                with contextlib.suppress(ConfigError):  # no earlier version
                    roll_back(CONFIG, "wrong", from_version=version if arguments[0] else None, say=len)
            else:
                housekeeping.collect(CONFIG, *arguments, say=len)
        shutil.copytree(".", "../" + name.rpartition("/")[2] + "-copy")
        try:
            with working_directory(Path(name + "-copy")):
                expected = run(steps, bless)
        finally:
            shutil.rmtree(name + "-copy")
        housekeeping.collect(CONFIG, keep, say=len)
        assert run(steps, bless) == expected
        states = {run.state for run in Store(Metadata(), Path("root"), "toy").runs()}
        assert State.RUNNING not in states
