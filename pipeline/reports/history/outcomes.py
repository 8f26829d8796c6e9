"""What a pass came to, and why."""

from __future__ import annotations

from collections.abc import Sequence

from bitext.components.artifacts import Blessing, InfraBlessing, ModelBlessing, PushedModel
from bitext.pipeline.records import Execution, State, StoredArtifact, pushed_artifact
from bitext.pipeline.reports import contents
from bitext.pipeline.reports.history.entries import Outcome
from bitext.pipeline.reports.passes import Pass

_BY_STATE: dict[State, Outcome] = {
    State.FAILED: "failed",
    State.CANCELED: "canceled",
    State.RUNNING: "not ended",
}


def outcome_of(one: Pass) -> tuple[Outcome, tuple[str, ...]]:
    """Returns what a pass came to, and the reasons, in words."""
    state = one.last.state
    if state != State.COMPLETE:
        return _BY_STATE[state], _error(one)
    if one.is_rollback:
        artifact = pushed(one)
        return "rolled back", (str(artifact.properties.get("reason", "")),) if artifact else ()
    if refusals := [a for a in _verdicts(one) if a.properties.get(Blessing.BLESSED_PROPERTY) == 0]:
        return "refused", tuple(reason for a in refusals for reason in contents.reasons(a))
    pushes = one.outputs(PushedModel.TYPE_NAME)
    if not pushes:
        return "partial", _ended_after(one)
    execution, artifact = pushes[-1]
    if artifact.properties.get(PushedModel.PUSHED_PROPERTY) != 1:
        return "not pushed", _push_reason(artifact)
    if _is_own(one, execution):
        return "pushed", _pushed_because(one)
    return "unchanged", (f"version {artifact.properties.get('version')} stays: the model is the same",)


def pushed(one: Pass) -> StoredArtifact | None:
    """Returns the PushedModel of the version that a pass pushed or rolled back to; None: it did neither."""
    own = [e for e in one.newest().values() if _is_own(one, e)]
    return next((artifact for e in own if (artifact := pushed_artifact(e))), None)


def _is_own(one: Pass, execution: Execution) -> bool:
    """Whether a pass did the work of an execution itself: it is not cached."""
    return execution.state == State.COMPLETE or any(
        e.state == State.COMPLETE and e.outputs == execution.outputs for e in one.executions
    )


def _verdicts(one: Pass) -> Sequence[StoredArtifact]:
    return [a for kind in (ModelBlessing, InfraBlessing) for _, a in one.outputs(kind.TYPE_NAME)]


def _pushed_because(one: Pass) -> tuple[str, ...]:
    """Why a model was pushed: the reasons of the Evaluator's verdict, a person's first."""
    verdicts = [artifact for _, artifact in one.outputs(ModelBlessing.TYPE_NAME)]
    forced = [f"blessed by force: {a.properties['forced']}" for a in verdicts if "forced" in a.properties]
    reasons = (reason for reason in contents.checks(verdicts) if reason != contents.COLLECTED)
    return (*forced, *reasons)


def _push_reason(artifact: StoredArtifact) -> tuple[str, ...]:
    record = contents.pushed(artifact) if artifact.exists else None
    return (record.reason.removeprefix("not pushed: ") if record else contents.COLLECTED,)


def _error(one: Pass) -> tuple[str, ...]:
    """The error of a pass that is not complete, with the node that it occurred in."""
    if one.last.state == State.RUNNING:
        return ("it is running, or its process was killed",)
    nodes = [e.node for e in one.executions if e.state == one.last.state and e.run_id == one.last.run_id]
    where = f"{nodes[-1]}: " if nodes and not one.last.error.startswith(f"{nodes[-1]}:") else ""
    return (f"{where}{one.last.error or 'no error is on record'}",)


def _ended_after(one: Pass) -> tuple[str, ...]:
    nodes = list(one.newest())
    return (f"it ended after {nodes[-1]}" if nodes else "it ran no node",)
