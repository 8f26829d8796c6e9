"""The interface of a component: typed inputs, outputs and parameters, and the methods that the runner calls.

The package of a step declares its component, and that module imports nothing heavy: `run` imports the module
that does the work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec

from bitext.components.artifacts import Artifact
from bitext.components.shared.imports import gc_disabled
from bitext.components.shared.library_logs import import_notices_removed

if TYPE_CHECKING:
    import apache_beam


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every component's parameters: frozen, typed, checked when read; unknown names are refused."""


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
    """What a component may use of the run that calls it.

    Attributes:
      working_dir: a folder that outlives a killed attempt and is handed to the next attempt at the same work
        (same cache key); the runner deletes it after publishing. Checkpoints live here.
      temp_dir: a folder for this attempt alone.
      beam_pipeline: creates the Beam pipeline to run in.
      say: prints one line on the terminal and logs it.
      interactive: whether the output goes to a terminal (progress bars).
      run_id: the run's id, as `bitext status` prints it. Use it only for what leaves the pipeline root:
        an output that contains it differs in every run, so no later node would be cached.
      force_bless: the reason why the model is blessed whatever its scores; None: the scores decide.
    """

    working_dir: Path
    temp_dir: Path
    beam_pipeline: Callable[[], apache_beam.Pipeline]
    say: Callable[[str], None] = print
    interactive: bool = False
    run_id: str = ""
    force_bless: str | None = None


class Component(Generic[P]):
    """One kind of step. A subclass declares its inputs and outputs and defines `run`.

    Its name, and that of its node in the pipeline, is the name of the class.

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
      list_inputs: names of inputs that are tuples of artifacts: one artifact per span, in order (one in all
        for a corpus without spans).
      map_over: the input over whose artifacts the work is divided: one execution per artifact.
      uncached_inputs: inputs that cannot change the outputs (counts of an earlier execution).
      input_splits: by input, the only splits that are read, for inputs of which not all are: a new test split
        does not train the model again.
      uncached_parameters: parameters that cannot change the outputs (a progress interval).
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
    obeys_force_bless: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name of the component and of its node, as TFX has it: `ExampleGen`."""
        return type(self).__name__

    def run(self, parameters: P, context: Context, /, *args: Any, **artifacts: Any) -> None:
        """Does the work: fills the outputs' folders and properties.

        A subclass names each input and output as a keyword argument.

        Args:
          parameters: the component's parameters, or those of one part of its work.
          context: what it may use of the run.
          args: none; a type checker lets a subclass name its own arguments in the place of `*args, **kwargs`.
          artifacts: inputs and outputs by keyword; an absent optional input is None.
        """
        raise NotImplementedError(f"{self.name} defines no run()")

    def external_inputs(self, parameters: P) -> list[str]:
        """The paths and patterns of files read beside the inputs; their content is part of the cache key."""
        return []

    def parts(self, parameters: P) -> list[Part]:
        """The parts of the work (the spans of a corpus), each of which gets an execution of its own."""
        return [Part("", parameters)]

    def still_valid(self, *args: Any, **outputs: Any) -> bool:
        """Whether cached outputs still describe the world outside the pipeline root.

        An output that records a pushed model is no longer valid if that model is no longer served. A subclass
        names each output as a keyword argument.
        """
        return True


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Context manager for the imports in `run`: disables garbage collection and redirects stderr to the log.

    TFDV, for one, writes to stderr that IPython is missing.
    """
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written), gc_disabled(), import_notices_removed():
            yield
    finally:
        if text := written.getvalue().strip():
            logging.getLogger("imports").info("%s", text)
