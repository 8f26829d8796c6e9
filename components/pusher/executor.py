"""The pusher's work: copy, describe, rename, remember. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.pusher import Parameters, card
from bitext.components.pusher.serving import (
    NOTE,
    Note,
    clear,
    faults_named,
    publish,
    read_note,
    renew,
    sole_writer,
    versions,
    withdrawn,
)
from bitext.components.shared import errors


class Pushed(msgspec.Struct, frozen=True):
    """The content of pushed.json. Without a push, `reason` says why, and the rest is null."""

    pushed: bool
    reason: str
    model: str | None = None
    version: int | None = None
    path: str | None = None
    digest: str | None = None


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: Sequence[artifacts.Examples],
    rejects: Sequence[artifacts.Rejects],
    schema: artifacts.Schema,
    transformed_examples: artifacts.Examples,
    transform_graph: artifacts.TransformGraph,
    model: artifacts.Model,
    evaluation: artifacts.ModelEvaluation,
    blessing: artifacts.ModelBlessing,
    infra_blessing: artifacts.InfraBlessing,
    pushed_model: artifacts.PushedModel,
) -> None:
    """Pushes the model if it is blessed twice; writes pushed.json either way.

    A model that is the newest version already is not pushed again; what is said of it is brought up to date.
    A model that a rollback withdrew is not pushed.

    Raises:
      errors.ConfigError: no destination, or it is not a folder.
      errors.DataError: the model holds no SavedModel.
      errors.EnvironmentFault: the destination cannot be written; nothing is visible there.
    """
    refusal = _refusal(blessing, infra_blessing)
    inputs: dict[str, card.Input] = {
        "examples": examples,
        "rejects": rejects,
        "schema": schema,
        "transformed_examples": transformed_examples,
        "transform_graph": transform_graph,
        "model": model,
        "evaluation": evaluation,
        "blessing": blessing,
        "infra_blessing": infra_blessing,
    }
    record = Pushed(False, refusal) if refusal else _push(parameters, inputs, model, context.run_id)
    (pushed_model.path / "pushed.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    pushed_model.properties["pushed"] = int(record.pushed)
    if record.version is not None and record.path is not None and record.digest is not None:
        pushed_model.properties.update(version=record.version, path=record.path, digest=record.digest)
    context.say(record.reason)


def still_valid(*, pushed_model: artifacts.PushedModel) -> bool:
    """Whether what was pushed is there, as the newest version, which it is not after a rollback.

    A model that was refused stays refused: neither a blessing nor a withdrawal is ever taken back.
    """
    try:
        record = msgspec.json.decode((pushed_model.path / "pushed.json").read_bytes(), type=Pushed)
    except (OSError, msgspec.MsgspecError):
        return False
    if not record.pushed or record.path is None:
        return not record.pushed
    path = Path(record.path)
    note = read_note(path)
    return note is not None and note.digest == record.digest and record.version == max(versions(path.parent))


def _refusal(blessing: artifacts.ModelBlessing, infra_blessing: artifacts.InfraBlessing) -> str:
    """Why the model may not be pushed; empty if it may."""
    checks = [
        (blessing.path / "BLESSED", "the Evaluator did not bless the model"),
        (infra_blessing.path / "INFRA_BLESSED", "the InfraValidator did not bless the model"),
    ]
    missing = [reason for path, reason in checks if not path.is_file()]
    return f"not pushed: {' and '.join(missing)}" if missing else ""


def _push(
    parameters: Parameters, inputs: Mapping[str, card.Input], model: artifacts.Model, run_id: str
) -> Pushed:
    if not parameters.destination:
        raise errors.ConfigError("pusher.destination is empty", "name a folder: `serving: serving/es-en`")
    serving = model.serving
    if not (serving / "saved_model.pb").is_file():
        raise errors.DataError(f"{serving} holds no SavedModel", "run `bitext run --force Trainer`")
    destination = Path(parameters.destination).absolute()
    digest = artifacts.model_digest(serving)

    with faults_named(destination), sole_writer(destination):
        clear(destination)
        newest = max(versions(destination), default=0)
        current, never = read_note(destination / str(newest)), withdrawn(destination)
        if digest in never:
            return Pushed(
                False, f"not pushed: this model was withdrawn by a rollback ({never[digest].reason})"
            )
        there = current if current is not None and current.digest == digest else None
        note = Note(digest, withdrawn=never, rolled_back_to=there.rolled_back_to if there else None)
        version = newest if there else newest + 1
        made = card.collect(inputs, parameters.card, destination.name, version, note, run_id)
        if made.scores is not None:
            bleu = made.scores.bleu
            note = msgspec.structs.replace(note, bleu=bleu.score, bleu_signature=bleu.signature)
        said = {NOTE: note.encode(), **card.files(made)}
        if there:
            renew(destination, version, said)
        else:
            publish(serving, destination, version, said)
    path = destination / str(version)
    what = "was pushed before, and is the newest version" if there else "pushed"
    return Pushed(True, f"{what}: {path}", destination.name, version, str(path), digest)
