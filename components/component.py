"""The interface of a component: typed inputs, outputs and parameters, and the methods that the runner calls.

A component is declared in the `__init__.py` of its package, which imports no large library. `run` imports the
module that does the work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec

from bitext.components.artifacts import Artifact
from bitext.components.shared.imports import gc_disabled
from bitext.components.shared.library_logs import import_notices_removed
from bitext.components.shared.progress import Progress, in_progress

if TYPE_CHECKING:
    import apache_beam


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of every component's parameters: frozen, typed, validated; unknown names are errors."""


P = TypeVar("P", bound=Parameters)


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a component's work that gets an execution of its own.

    Attributes:
      name: the name that users see: `span 7`, `span 7 version 2`; empty if the work is not divided.
      parameters: the parameters of this execution.
    """

    name: str
    parameters: Parameters


@dataclasses.dataclass(frozen=True)
class Context:
    """The resources of a run that a component may use.

    Attributes:
      working_dir: folder for checkpoints. If an attempt is killed, the next attempt with the same cache key
        gets the same folder. The runner deletes it after publishing.
      temp_dir: a folder for this attempt only.
      failure_dir: where `keep` copies files that explain an error; None: `working_dir`. The runner never
        deletes it with a failed attempt.
      beam_pipeline: creates the Beam pipeline to run in.
      local_pipeline: creates a Beam pipeline in this process, for small work that needs its disk; None: that
        of `beam_pipeline` is in this process.
      say: prints one line on the terminal and writes it to the log.
      run_id: the run's id, as `bitext status` prints it. Do not write it to an output in the pipeline root:
        the output would differ in every run, so no later node would be cached.
      root_id: the id of the pipeline root. It must not change an output in the pipeline root either.
      place: host and path of the pipeline root, as `root_id`.
      force_bless: the reason for which the model is blessed without regard to its scores; None: the scores
        decide.
      tensorboard: the folder of logs for TensorBoard. A log stays there under one name from the first step of
        a training on; `bitext gc` removes those that no ModelRun and no unfinished attempt names. None: no
        log is written.
      observe: is told how far long work is, at most ten times a second.
      check_use: raises LockedError if another run has taken over a remote pipeline root. Call it before a
        change outside the outputs.
      spill_dir: the folder for blocks of rows while Beam groups them in this process, see `spilling.Storage`.
        None: Beam runs on an engine, and its functions must not use the disk of this process. They read and
        write artifacts only.
      job_file: the file by which the chief of a distributed training tells its workers on other hosts what to
        train, in the pipeline root; None: there is no such file.
    """

    working_dir: Path
    temp_dir: Path
    beam_pipeline: Callable[[], apache_beam.Pipeline]
    say: Callable[[str], None] = print
    run_id: str = ""
    root_id: str = ""
    place: str = ""
    force_bless: str | None = None
    failure_dir: Path | None = None
    tensorboard: Path | None = None
    observe: Callable[[Progress], None] = lambda _: None
    local_pipeline: Callable[[], apache_beam.Pipeline] | None = None
    spill_dir: Path | None = None
    check_use: Callable[[], None] = lambda: None
    job_file: Path | None = None

    def progress(
        self, unit: str, total: int | None = None, done: int = 0, *, is_drawn: bool = True
    ) -> contextlib.AbstractContextManager[Progress]:
        """Context manager: yields the progress of long work, which is shown on a terminal and in the status.

        Args:
          unit: what is counted, in the plural: `rows`.
          total: how many there are; None: unknown.
          done: how many are done already.
          is_drawn: whether a bar may be drawn on a terminal.
        """
        return in_progress(Progress(unit, total, done, self.observe, is_drawn=is_drawn))

    def keep(self, path: Path) -> Path:
        """Copies a file or folder of a failing attempt to `failure_dir`, so that an error can name it.

        The outputs of a failed attempt are deleted.

        Returns:
          The copy.
        """
        folder = self.failure_dir or self.working_dir
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            return Path(shutil.copytree(path, folder / path.name, dirs_exist_ok=True))
        with path.open("rb") as original, (folder / path.name).open("wb") as copy:
            shutil.copyfileobj(original, copy)
        return folder / path.name


class Component(Generic[P]):
    """Base class of components. A subclass declares its inputs and outputs and defines `run`.

    The name of the class is the name of the component and of its node in the pipeline.

    Example::

        class Tokenizer(Component[Parameters]):
            inputs = {"examples": artifacts.Examples}
            outputs = {"tokens": artifacts.Examples}
            parameters = Parameters

            def run(
                self,
                parameters: Parameters,
                context: Context,
                *,
                examples: artifacts.Examples,
                tokens: artifacts.Examples,
            ) -> None:
                with heavy_imports():
                    from bitext.components.tokenizer import executor
                executor.run(parameters, context, examples=examples, tokens=tokens)

    Attributes:
      inputs: the artifact kind of each input by keyword. Only inputs named in `optional` may be absent.
      outputs: the artifact kind of each output by keyword.
      parameters: the type of its parameters.
      libraries: distributions whose versions are part of the cache key.
      optional: names of inputs that may be absent.
      list_inputs: names of inputs that are tuples of artifacts: one artifact per span, in order (a single
        artifact for a corpus without spans).
      map_over: name of the input whose artifacts are processed separately: one execution per artifact.
      uncached_inputs: inputs that are not part of the cache key, because they cannot change the outputs
        (counts of an earlier execution).
      input_splits: the splits that are read of an input, by its name; an input that is not named is read
        whole. Other splits are not part of the cache key: a new test split does not train the model again.
      uncached_parameters: parameters that are not part of the cache key, because they cannot change the
        outputs (a progress bar). One of a section has the name of the section before it: `section.name`.
      opened_by_workers: names of inputs and outputs that Beam functions open. If Beam runs on an engine and
        the pipeline root is remote, their paths are remote. All others are folders of this machine.
      obeys_force_bless: whether it blesses the model if `Context.force_bless` is given. It then runs even if
        it is cached.
    """

    inputs: ClassVar[Mapping[str, type[Artifact]]]
    outputs: ClassVar[Mapping[str, type[Artifact]]]
    parameters: type[P]
    libraries: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[frozenset[str]] = frozenset()
    list_inputs: ClassVar[frozenset[str]] = frozenset()
    map_over: ClassVar[str | None] = None
    uncached_inputs: ClassVar[frozenset[str]] = frozenset()
    input_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    uncached_parameters: ClassVar[frozenset[str]] = frozenset()
    opened_by_workers: ClassVar[frozenset[str]] = frozenset()
    obeys_force_bless: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name of the component and of its node, for example `ExampleGen`."""
        return type(self).__name__

    def run(self, parameters: P, context: Context, /, *args: Any, **artifacts: Any) -> None:
        """Writes the folders and properties of the outputs.

        A subclass names each input and output as a keyword argument.

        Args:
          parameters: the component's parameters, or those of one part of its work.
          context: the resources of the run that it may use.
          args: none. It is declared so that type checkers accept a subclass with its own keyword arguments.
          artifacts: inputs and outputs by keyword; an absent optional input is None.
        """
        raise NotImplementedError(f"{self.name} defines no run()")

    def external_inputs(self, parameters: P) -> list[str]:
        """Paths and patterns of other files to read. Their content is part of the cache key."""
        return []

    def check_files(self, parameters: P) -> None:
        """Raises an error if a file that `external_inputs` names, or a setting that only a library can judge,
        cannot be used. It is called before the first node runs, and imports no TensorFlow.
        """
        return

    def parts(self, parameters: P) -> list[Part]:
        """The parts of the work (the spans of a corpus). Each part gets an execution of its own."""
        return [Part("", parameters)]

    def still_valid(self, parameters: P, /, *args: Any, **outputs: Any) -> bool:
        """Whether cached outputs still agree with files outside the pipeline root.

        For example, the record of a pushed model is no longer valid if that model is no longer served. A
        subclass names each output as a keyword argument.

        Args:
          parameters: the component's parameters in this run.
          args: none, as in `run`.
          outputs: the cached outputs by keyword.
        """
        return True


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Context manager for the imports in `run`: disables garbage collection and redirects stderr to the log.

    For example, TFDV writes to stderr that IPython is missing.
    """
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr), gc_disabled(), import_notices_removed():
            yield
    finally:
        if text := stderr.getvalue().strip():
            logging.getLogger("imports").info("%s", text)
