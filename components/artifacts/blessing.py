"""ModelBlessing and InfraBlessing: whether a model may be pushed, and why."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.shared.files import write_json


class Verdict(msgspec.Struct, frozen=True):
    """Whether a model is blessed, that is, approved for publishing.

    Attributes:
      blessed: whether the model is blessed.
      reasons: the reasons, in words.
      forced: a person's reason to bless the model whatever its scores; None: nobody forced it.
    """

    blessed: bool
    reasons: list[str]
    forced: str | None = None


class Blessing(Artifact):
    """A verdict, stored in one of two files. The file's name tells whether the model is blessed."""

    BLESSED: ClassVar[str]
    NOT_BLESSED: ClassVar[str]
    BLESSED_PROPERTY: ClassVar[str] = "blessed"
    """The property in the metadata store: 1 if the model is blessed, else 0."""
    REASONS_PROPERTY: ClassVar[str] = "reasons"
    """The property with the reasons in words, which stays when `bitext gc` removes the artifact."""

    @property
    def is_blessed(self) -> bool:
        """Whether the artifact has the file of a blessed model."""
        return (self.path / self.BLESSED).is_file()

    def verdict(self) -> Verdict:
        """Reads the verdict.

        Raises:
          DataError: the file is missing or damaged, or its content contradicts its name.
        """
        path = self.path / (self.BLESSED if self.is_blessed else self.NOT_BLESSED)
        if not path.exists():
            raise self.damaged(self.path / self.BLESSED, f"or {self.NOT_BLESSED} is missing")
        verdict = self.read_json(path, Verdict)
        if verdict.blessed != self.is_blessed:
            raise self.damaged(path, f"is damaged: it says blessed: {str(verdict.blessed).lower()}")
        return verdict

    def write(self, verdict: Verdict) -> None:
        """Writes the verdict."""
        write_json(self.path / (self.BLESSED if verdict.blessed else self.NOT_BLESSED), verdict)


class ModelBlessing(Blessing):
    """The Evaluator's verdict {"blessed", "reasons", "forced"}, in one of two files::

    BLESSED | NOT_BLESSED
    """

    TYPE_NAME = "ModelBlessing"
    BLESSED, NOT_BLESSED = FILES = ("BLESSED", "NOT_BLESSED")
    NODE = "Evaluator"


class InfraBlessing(Blessing):
    """The InfraValidator's verdict {"blessed", "reasons", "forced": null}, in one of two files::

    INFRA_BLESSED | INFRA_NOT_BLESSED
    """

    TYPE_NAME = "InfraBlessing"
    BLESSED, NOT_BLESSED = FILES = ("INFRA_BLESSED", "INFRA_NOT_BLESSED")
    NODE = "InfraValidator"
