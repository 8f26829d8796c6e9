"""Compares artifacts with their recorded digests, before a node reads them and for `bitext verify`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bitext.components.artifacts import Artifact, kind_named
from bitext.components.shared.errors import DataError
from bitext.pipeline.input_copies import PathOf
from bitext.pipeline.plan import WorkItem
from bitext.pipeline.records import StoredArtifact


class DamagedInput(DataError):
    """An input of a node does not have its recorded content.

    Attributes:
      artifact: the input.
      problem: what is wrong with it.
    """

    def __init__(self, artifact: StoredArtifact, problem: str, is_of_this_run: bool = True):
        node = Artifact(artifact.path).node
        remedy = "restore the folder from a copy, or move it elsewhere: the next run does without it"
        if is_of_this_run:
            remedy = f"make it again: `bitext run CONFIG --force {node}`; or restore the folder from a copy"
        super().__init__(f"{artifact.type} {artifact.uri} {problem}", remedy)
        self.artifact, self.problem = artifact, problem


def check_inputs(item: WorkItem, path_of: PathOf = lambda _, __, artifact: artifact.path) -> None:
    """Compares the inputs of a work item with their recorded digests: only the splits that the node reads.

    Args:
      item: the work item.
      path_of: returns the folder that the component reads of an artifact.

    Raises:
      DamagedInput: an input is missing, or its files are not those that were recorded.
    """
    for key, artifacts in item.inputs.items():
        for artifact in artifacts:
            component = item.node.component
            folder = path_of(component, key, artifact) if artifact.exists else None
            if problem := problem_of(artifact, component.input_splits.get(key), folder):
                raise DamagedInput(artifact, problem)


def problem_of(
    artifact: StoredArtifact, splits: Collection[str] | None = None, folder: Path | None = None
) -> str:
    """Returns what is wrong with an artifact's files, beginning with a verb; empty if nothing is.

    Args:
      artifact: the record.
      splits: the splits to compare; None: the whole folder.
      folder: a copy of the artifact, which is compared instead; None: the artifact itself.
    """
    folder = artifact.path if folder is None else folder
    if not folder.is_dir():
        return "is missing"
    try:
        if splits is None:
            kind = kind_named(artifact.type)(folder)
            intact = (
                kind.files_digest() == artifact.files_digest
                if artifact.files_digest
                else kind.content_digest() == artifact.digest
            )
        else:
            recorded = {name: artifact.split_digests.get(name) for name in splits}
            split_digest = Artifact(folder).split_digest
            intact = all(digest is None or split_digest(name) == digest for name, digest in recorded.items())
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if intact else "is damaged: its files are not those that were recorded"
