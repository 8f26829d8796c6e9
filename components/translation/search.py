"""Options of the beam search."""

from __future__ import annotations

import dataclasses

from bitext.components.shared import errors

_MINIMUMS = {"beam_size": 1, "max_length": 1, "nbest": 1, "length_penalty": 0}


@dataclasses.dataclass(frozen=True)
class Search:
    """Options of the beam search. None: the value of the model's default search (signature `default_search`).

    Attributes:
      beam_size: number of hypotheses kept at each step, at least `nbest`; None: the default search's, or
        `nbest` if that is larger.
      length_penalty: exponent of the length by which the log probability is divided; 0: scores are log
        probabilities.
      max_length: maximum length of a translation, in tokens.
      nbest: number of translations returned for each line.
    """

    beam_size: int | None = None
    length_penalty: float | None = None
    max_length: int | None = None
    nbest: int = 1

    def __post_init__(self) -> None:
        for name, minimum in _MINIMUMS.items():
            value = getattr(self, name)
            if value is not None and not value >= minimum:
                raise errors.ConfigError(f"{name} must be at least {minimum}, received {value}")
        if self.beam_size is not None and self.nbest > self.beam_size:
            raise errors.ConfigError(
                f"nbest must be at most beam_size, received {self.nbest} and {self.beam_size}",
                f"set beam_size to {self.nbest} or more",
            )

    @property
    def is_default(self) -> bool:
        """Whether this is the model's default search."""
        return self == Search()
