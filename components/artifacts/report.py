"""Report: the sections that the page of a run shows of its artifacts."""

from __future__ import annotations

from bitext.components.artifacts.base import Artifact
from bitext.components.artifacts.page import Section
from bitext.components.shared.files import write_json


class Report(Artifact):
    """The sections of a report about data, training and evaluation, without what is known of a run only::

    report.json                 [{"id", "title", "blocks": [{"kind", ...}, ...]}, ...]
    """

    TYPE_NAME = "Report"
    FILES = ("report.json",)
    NODE = "Reporter"

    def sections(self) -> list[Section]:
        """Reads the sections, in order.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.path / "report.json", list[Section])

    def write_sections(self, sections: list[Section]) -> None:
        """Writes the sections."""
        write_json(self.path / "report.json", sections)
