"""The pusher's work: copy, describe, rename, remember. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from components import artifacts, errors
from components.component import Context
from components.files import flush, hold, tree_digest
from components.pusher import Parameters, card

NOTE = Path("assets.extra/bitext.json")
"""What is known of a pushed version. TensorFlow Serving leaves `assets.extra/` to whoever made the model."""

STAGING_PREFIX = ".staging-"

_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


class Note(msgspec.Struct, frozen=True):
    """The content of `NOTE`."""

    digest: str
    bleu: float | None = None
    bleu_signature: str | None = None


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
    examples: artifacts.Examples,
    rejects: artifacts.Rejects,
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

    Raises:
      errors.ConfigError: no destination, or it is not a folder.
      errors.DataError: the model holds no SavedModel.
      errors.EnvironmentFault: the destination cannot be written; nothing is visible there.
    """
    refusal = _refusal(blessing, infra_blessing)
    inputs: dict[str, artifacts.Artifact] = {
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
    record = Pushed(False, refusal) if refusal else _push(parameters, inputs, context.run_id)
    (pushed_model.path / "pushed.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    pushed_model.properties["pushed"] = int(record.pushed)
    if record.version is not None and record.path is not None and record.digest is not None:
        pushed_model.properties.update(version=record.version, path=record.path, digest=record.digest)
    context.say(record.reason)


def still_valid(*, pushed_model: artifacts.PushedModel) -> bool:
    """Whether what was pushed is there, as the newest version. A model that was refused stays refused."""
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


def _push(parameters: Parameters, inputs: Mapping[str, artifacts.Artifact], run_id: str) -> Pushed:
    if not parameters.destination:
        raise errors.ConfigError("pusher.destination is empty", "name a folder: `serving: serving/es-en`")
    serving = inputs["model"].path / "Format-Serving"
    if not (serving / "saved_model.pb").is_file():
        raise errors.DataError(f"{serving} holds no SavedModel", "run `bitext run --force Trainer`")
    destination = Path(parameters.destination).absolute()
    digest = tree_digest(serving)

    def said(version: int) -> dict[Path, bytes]:
        """All that is said of the model, as files."""
        made = card.collect(inputs, parameters.card, destination.name, version, digest, run_id)
        bleu = made.scores.bleu if made.scores else None
        note = Note(digest, bleu.score, bleu.signature) if bleu else Note(digest)
        return {NOTE: msgspec.json.format(msgspec.json.encode(note)) + b"\n", **card.files(made)}

    with _faults_named(destination), _sole_writer(destination):
        for leftover in destination.glob(f"{STAGING_PREFIX}*"):
            shutil.rmtree(leftover)
        newest = max(versions(destination), default=0)
        pushed = read_note(destination / str(newest))
        if pushed is not None and pushed.digest == digest:
            version, what = newest, "was pushed before, and is the newest version"
            renew(destination, version, said(version))
        else:
            version, what = newest + 1, "pushed"
            publish(serving, destination, version, said(version))
    path = destination / str(version)
    return Pushed(True, f"{what}: {path}", destination.name, version, str(path), digest)


def versions(destination: Path) -> list[int]:
    """The integer versions in a serving folder."""
    return [int(p.name) for p in destination.iterdir() if p.name.isdecimal()]


def read_note(version: Path) -> Note | None:
    """What was noted of a pushed version; None if nothing, or if there is no such model."""
    if not (version / "saved_model.pb").is_file():
        return None
    try:
        return msgspec.json.decode((version / NOTE).read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None


def publish(serving: Path, destination: Path, version: int, said: Mapping[Path, bytes]) -> None:
    """Copies a SavedModel and what is said of it beside the versions, and makes it a version by one rename.

    A server that watches the folder sees the whole version or none. What a crash leaves is cleared by the
    next push. Everything is on the disk before the rename is.
    """
    with _staging(destination, version) as staging:
        # Not shutil.copytree: its error has lost the errno, by which a full disk is told from a defect.
        for path in sorted(serving.rglob("*")):
            target = staging / path.relative_to(serving)
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
        for name, content in said.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_bytes(content)
        for path in [*staging.rglob("*"), staging]:
            flush(path)
        staging.rename(destination / str(version))
    flush(destination)


def renew(destination: Path, version: int, said: Mapping[Path, bytes]) -> None:
    """Says anew what is said of a version, each file by one rename. The model itself is not touched."""
    with _staging(destination, version) as staging:
        for name, content in said.items():
            (staging / name.name).write_bytes(content)
            flush(staging / name.name)
            (staging / name.name).rename(destination / str(version) / name)
    flush((destination / str(version) / NOTE).parent)


@contextlib.contextmanager
def _staging(destination: Path, version: int) -> Iterator[Path]:
    """A folder beside the versions, gone in the end, unless a crash leaves it to the next push."""
    folder = destination / f"{STAGING_PREFIX}{version}"
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _sole_writer(destination: Path) -> Iterator[None]:
    """Holds the serving folder, made if need be, against other pipelines' pushes; waits for theirs."""
    destination.mkdir(parents=True, exist_ok=True)
    descriptor = hold(destination, wait=math.inf)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _faults_named(destination: Path) -> Iterator[None]:
    """Says of an operating system error what it means for the push."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise errors.ConfigError(
            f"the serving folder {destination} is not a folder: {error.strerror}",
            "name another with `serving`",
        ) from error
    except OSError as error:
        if error.errno not in _FAULTS:
            raise
        raise errors.EnvironmentFault(
            f"cannot push to {destination}: {error.strerror}",
            "free space or make the folder writable, then run again: the trained model is kept",
        ) from error
