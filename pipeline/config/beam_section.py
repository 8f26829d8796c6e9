"""The section `beam`: where Apache Beam pipelines run."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from bitext.components.component import Parameters
from bitext.components.shared.suggestions import did_you_mean

BEAM_RUNNERS = (
    "DirectRunner", "FlinkRunner", "SparkRunner", "PortableRunner", "PrismRunner", "DataflowRunner"
)  # fmt: skip
"""The runners of Beam that a pipeline can use, besides a runner class that is named by its module."""


class Beam(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Apache Beam pipelines run.

    Attributes:
      runner: the name of a Beam runner. `DirectRunner` runs in this process and needs nothing else. The
        others are `FlinkRunner`, `SparkRunner`, `PortableRunner`, `PrismRunner` and `DataflowRunner`, or
        `module.Class` for a runner class of another package.
      options: more Beam options, each `--name=value`.
      stall_timeout: the seconds after which a job on another engine is canceled and the run ends with exit
        code 6, if the engine reports no progress: no new state, message or count of elements. An engine that
        counts nothing while a step runs needs more than its longest step takes. 0: no limit.
    """

    runner: str = "DirectRunner"
    options: tuple[str, ...] = ()
    stall_timeout: Annotated[int, msgspec.Meta(ge=0)] = 3600

    def __post_init__(self) -> None:
        if not is_beam_runner(self.runner):
            raise ValueError(
                f"runner must be {', '.join(BEAM_RUNNERS)}, or module.Class for a runner class of another"
                f" package; received {self.runner!r}{did_you_mean(self.runner, BEAM_RUNNERS)}"
            )
        for option in self.options:
            if not option.startswith("--"):
                raise ValueError(f"a Beam option starts with --, and {option!r} does not")
            if option.split("=")[0] == "--runner":
                raise ValueError("name the runner in beam.runner, not in beam.options")
            if option.split("=")[0] == "--direct_running_mode":
                raise ValueError("DirectRunner always runs in this process: leave --direct_running_mode out")


def is_beam_runner(name: str) -> bool:
    """Whether Beam can have a runner of this name. Beam takes any case, and `flink` for `FlinkRunner`."""
    if re.fullmatch(r"\w+(\.\w+)+", name):
        return True
    return name.lower().removesuffix("runner") in [
        runner.lower().removesuffix("runner") for runner in BEAM_RUNNERS
    ]


def runner_name(name: str) -> str:
    """The name of a Beam runner; Beam takes any case of `direct` and `DirectRunner`."""
    return "DirectRunner" if name.lower() in ("direct", "directrunner") else name
