"""The declaration of a component: its typed inputs, outputs and parameters, and where its work is done.

Declarations import nothing heavy. The function that does the work is named, and imported when it runs.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bitext.components import artifacts
from bitext.components.shared.imports import gc_disabled

if TYPE_CHECKING:
    import apache_beam


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every component's parameters: frozen, typed, checked when read, unknown names refused."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a component's work that is an execution of its own.

    Attributes:
      name: what a person calls it: `span 7`, `span 7 version 2`; empty: it is the whole.
      parameters: what its execution is given.
    """

    name: str
    parameters: Parameters


@dataclasses.dataclass(frozen=True)
class Component:
    """One kind of step.

    Attributes:
      name: the node's name, as TFX has it: `ExampleGen`.
      inputs: artifact kind of each input by keyword. An input may be absent only if named in `optional`.
      outputs: artifact kind of each output by keyword.
      parameters: the type of its parameters.
      function: `module:function` that does the work. It is called as
        `function(parameters, context, **inputs, **outputs)`, fills the outputs' folders and properties
        and returns nothing; an absent optional input is `None`.
      libraries: distributions whose versions are part of the cache key.
      optional: names of inputs that may be absent.
      several: names of inputs that are tuples of artifacts, in order: of each span one (of a corpus without
        spans: one).
      each: an input whose artifacts are worked one by one: an execution for each of them.
      parts: `module:function`, light, from the parameters to the `Part`s the work falls into (a span of the
        corpus each): an execution for each of them.
      uncached_inputs: inputs that cannot change the outputs (what an earlier execution counted).
      splits: of an input, the only splits that are read, where not all are: another test split trains no
        model again.
      external_inputs: `module:function`, light, from parameters to the paths or patterns the component reads
        beside its input artifacts (source files); their content is part of the cache key.
      still_valid: `module:function`, light, from the output artifacts by keyword to whether what they say of
        the world outside the pipeline root still holds (a pushed model still being served).
      uncached_parameters: parameters that cannot change the outputs (a progress interval).
    """

    name: str
    inputs: Mapping[str, type[artifacts.Artifact]]
    outputs: Mapping[str, type[artifacts.Artifact]]
    parameters: type[Parameters]
    function: str
    libraries: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    each: str | None = None
    parts: str | None = None
    uncached_inputs: frozenset[str] = frozenset()
    splits: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    external_inputs: str | None = None
    still_valid: str | None = None
    uncached_parameters: frozenset[str] = frozenset()

    def load(self) -> Callable[..., None]:
        """Imports and returns the function that does the work."""
        return load_function(self.function)


def load_function(reference: str) -> Callable[..., Any]:
    """The function named `module:function`."""
    module, _, name = reference.partition(":")
    with gc_disabled():
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


@dataclasses.dataclass(frozen=True)
class Context:
    """What a component may use of the run around it.

    Attributes:
      working_dir: a folder that outlives a killed attempt and is handed to the next attempt at the same work
        (same cache key); the runner deletes it after publishing. Checkpoints live here.
      temp_dir: a folder for this attempt alone.
      beam_pipeline: makes the Beam pipeline to run in.
      say: prints one line for the person watching, and logs it.
      interactive: whether a person watches (progress bars).
      run_id: the run's, as `bitext status` has it. It is for what leaves the pipeline root, not for outputs:
        all that follows them would be done again because of it.
      force_bless: why a person has the model blessed whatever it scores; None: nobody does.
    """

    working_dir: Path
    temp_dir: Path
    beam_pipeline: Callable[[], apache_beam.Pipeline]
    say: Callable[[str], None] = print
    interactive: bool = False
    run_id: str = ""
    force_bless: str | None = None
