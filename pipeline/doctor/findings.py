"""What `bitext doctor` found to be wrong."""

from __future__ import annotations

import dataclasses

from bitext.components.shared.errors import EnvironmentFault


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something with which runs fail.

    Attributes:
      message: what is wrong.
      remedy: what to do.
      exit_code: the exit code of a run that fails for it.
    """

    message: str
    remedy: str
    exit_code: int


@dataclasses.dataclass
class Findings:
    """The problems and the warnings so far."""

    problems: list[Problem] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def problem(self, message: str, remedy: str, exit_code: int = EnvironmentFault.exit_code) -> None:
        """Adds a problem."""
        self.problems.append(Problem(message, remedy, exit_code))

    def warning(self, message: str) -> None:
        """Adds a warning."""
        self.warnings.append(message)
