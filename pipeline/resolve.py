"""What an input stands for that is not made in this run: a choice among what is on record.

Every choice is such that a run in which nothing is new makes the same ones again, and finds all of its work
done: a model is not compared with itself, nor trained on from itself because it was blessed meanwhile.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bitext.components.artifacts import ServedVersion
from bitext.components.pusher.serving import versions
from bitext.pipeline.cache import Parts
from bitext.pipeline.records import Execution, State, StoredArtifact, newest_usable, pushed_artifact

Chosen = tuple[StoredArtifact, ...]
History = Sequence[Execution]
"""Every execution of the pipeline on record, newest first."""


def served_model(history: History, serving: str, other_than: str = "") -> Chosen:
    """The model that the newest version in the serving folder is.

    Where that is not known, it is the one pushed last, and where none was ever pushed, the one blessed last.

    Args:
      history: see `History`.
      serving: the serving folder.
      other_than: the digest of a model that is not meant.
    """
    folder = Path(serving)
    newest = max(versions(folder), default=0) if folder.is_dir() else 0
    served_now = ServedVersion(folder / str(newest)).metadata()
    served = pushed_with(history, served_now.digest) if served_now else ()
    pushed, blessed = _models(history, pushed_artifact), _models(history, _blesses)
    found = (model for model in itertools.chain(served, pushed, blessed) if model.digest != other_than)
    return tuple(itertools.islice(found, 1))


def pushed_with(history: History, digest: str) -> Chosen:
    """The model that was pushed with this digest (of its SavedModel, as in bitext.json), if it is there."""
    for execution in history:
        pushed = pushed_artifact(execution)
        if pushed is None or pushed.properties.get("digest") != digest:
            continue
        if found := tuple(model for model in execution.inputs.get("model", ()) if Path(model.uri).is_dir()):
            return found
    return ()


def _models(history: History, chose: Callable[[Execution], object]) -> Iterator[StoredArtifact]:
    """Models that a complete execution `chose`, newest first."""
    for execution in history:
        if execution.state == State.COMPLETE and chose(execution):
            yield from (m for m in execution.inputs.get("model", ()) if Path(m.uri).is_dir())


def _blesses(execution: Execution) -> bool:
    """Whether an execution blessed a model."""
    blessings = [artifact for artifact in execution.all_outputs() if artifact.type == "ModelBlessing"]
    return any(blessing.properties.get("blessed") == 1 for blessing in blessings)


def base_model(history: History, parts: Parts, node: str, serving: str, from_scratch_every: int) -> Chosen:
    """The model a training begins with: the served one, or that with which it was done before.

    None, where enough trainings in a row began with one: whatever became of those, the next begins anew.

    Args:
      history: see `History`.
      parts: of the training's cache key, but for this model.
      node: the one that trains.
      serving: the serving folder.
      from_scratch_every: of so many trainings one begins from scratch; 0: none does.
    """
    trainings = [e for e in history if e.node == node and e.state == State.COMPLETE]
    for execution in trainings:
        begun_with = execution.inputs.get("base_model", ())
        digest = begun_with[0].digest if begun_with else None
        same = parts | {"input": parts["input"] | {"base_model": digest}}
        if json.loads(execution.cache_key_parts) == same and _are_there(execution.outputs):
            return begun_with
    warm = itertools.takewhile(lambda execution: execution.inputs.get("base_model"), trainings)
    if 0 < from_scratch_every <= len(list(warm)) + 1 and trainings:
        return ()
    return served_model(history, serving)


def previous_statistics(history: History, node: str, present: Chosen) -> Chosen:
    """The statistics of the newest run whose model was blessed and whose data was other than the present.

    Args:
      history: see `History`.
      node: the one that makes statistics.
      present: the statistics of this run.
    """
    blessed = {execution.run_id for execution in history if _blesses(execution)}
    digests = {artifact.digest for artifact in present}
    for execution in history:
        if execution.node == node and execution.run_id in blessed and not execution.part:
            found = tuple(itertools.chain.from_iterable(execution.outputs.values()))
            if {artifact.digest for artifact in found} != digests and _are_there(execution.outputs):
                return found
    return ()


def newest_output(history: History, node: str, key: str) -> Chosen:
    """An output of the newest execution of the node whose outputs are still there."""
    newest = newest_usable(history, node)
    return newest.outputs.get(key, ()) if newest else ()


def _are_there(artifacts: Mapping[str, Chosen]) -> bool:
    return all(Path(artifact.uri).is_dir() for several in artifacts.values() for artifact in several)
