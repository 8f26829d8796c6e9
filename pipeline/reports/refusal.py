"""Why the model of a complete run was refused. A refusal is a result of the run, and not an error."""

from __future__ import annotations

import dataclasses

from bitext.components.artifacts import InfraBlessing, ModelBlessing, PushedModel
from bitext.pipeline.reports import contents
from bitext.pipeline.runner import Result


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a model was not pushed, and what a person can do about it."""

    message: str
    remedy: str


_VERDICTS = (
    (
        ModelBlessing.TYPE_NAME,
        "blessed",
        "train longer or on more data, or change what `evaluator` requires",
    ),
    (
        InfraBlessing.TYPE_NAME,
        "infra-blessed",
        "its export does not translate as the trained model does: see the log",
    ),
)


def refusal(result: Result) -> Refusal | None:
    """Returns why the run's model was refused; None: it was not refused.

    Evaluator or InfraValidator refused it, or a rollback withdrew it before.
    """
    for type_name, approved, remedy in _VERDICTS:
        verdict = result.artifact(type_name)
        if verdict is not None and verdict.properties.get(ModelBlessing.BLESSED_PROPERTY) == 0:
            reasons = "; ".join(contents.reasons(verdict))
            return Refusal(f"the model was not {approved}: {reasons}", f"nothing was pushed; {remedy}")
    pushed = result.artifact(PushedModel.TYPE_NAME)
    if pushed is not None and pushed.properties.get(PushedModel.PUSHED_PROPERTY) == 0:
        record = contents.pushed(pushed)
        return Refusal(
            record.reason if record else f"not pushed: see {pushed.uri}",
            "the served model stays; change the data or the configuration to train another model",
        )
    return None
