"""Copies of remote artifacts on this machine, for components that read local files.

A copy stays until the end of the run: the examples of a run are read by several nodes. An output that was
made here is its own copy.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeAlias

from bitext.components.component import Component
from bitext.components.shared import storage
from bitext.pipeline.records import StoredArtifact

PathOf: TypeAlias = Callable[[Component[Any], str, StoredArtifact], Path]
"""Returns the folder that a component gets of an artifact: (component, keyword, record)."""


@dataclasses.dataclass
class InputCopies:
    """The copies of one run.

    Attributes:
      folder: the folder of the copies.
    """

    folder: Path

    def __post_init__(self) -> None:
        self._splits: dict[str, set[str] | None] = {}  # by artifact; None: the whole artifact

    def path(self, artifact: StoredArtifact, splits: Collection[str] | None = None) -> Path:
        """Returns the local folder of an artifact, and copies what is missing of a remote one.

        Args:
          artifact: the record.
          splits: the splits that are read; None: all files.

        Raises:
          EnvironmentFault: the store cannot be reached, or the disk is full.
        """
        if not storage.is_remote(artifact.uri):
            return artifact.path
        target = self._copy_of(artifact.path)
        copied = self._splits.get(artifact.uri, set())
        if copied is None:
            return target
        if splits is None:
            storage.download(artifact.path, target)
            self._splits[artifact.uri] = None
        else:
            missing = set(splits) - copied
            storage.download(artifact.path, target, [f"Split-{name}" for name in sorted(missing)])
            self._splits[artifact.uri] = copied | missing
        return target

    def keep(self, output: Path, published: Path) -> None:
        """Makes the local folder of an output its copy.

        Args:
          output: the local folder. It is moved.
          published: the remote folder that it was copied to.
        """
        target = self._copy_of(published)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(output, target)
        self._splits[str(published)] = None

    def _copy_of(self, folder: Path) -> Path:
        """The folder of a copy. Its path ends as that of the artifact, which names the node."""
        return self.folder.joinpath(*folder.parts[-3:])
