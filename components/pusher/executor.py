"""Executor of Pusher: pushes a blessed model to the serving folder, with metadata and model card."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bitext.components import artifacts
from bitext.components.artifacts import Pushed, ServedVersion, VersionMetadata, model_digest
from bitext.components.component import Context
from bitext.components.pusher import Parameters, card
from bitext.components.pusher.card_markdown import card_files
from bitext.components.pusher.serving import (
    TAKE_OVER_REMEDY,
    check_owner,
    clear,
    folder_inode,
    newest_version,
    next_version,
    problem_of,
    publish,
    reporting_serving_faults,
    sole_writer,
    update_metadata,
    withdrawn,
)
from bitext.components.shared import errors, storage
from bitext.components.shared.metrics import Bleu


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: Sequence[artifacts.Examples],
    rejects: Sequence[artifacts.Rejects],
    schema: artifacts.Schema,
    transformed_examples: artifacts.TransformedExamples,
    transform_graph: artifacts.TransformGraph,
    model: artifacts.Model,
    evaluation: artifacts.ModelEvaluation,
    blessing: artifacts.ModelBlessing,
    infra_blessing: artifacts.InfraBlessing,
    pushed_model: artifacts.PushedModel,
) -> None:
    """Pushes the model if both verdicts bless it, and writes the result to `pushed_model`.

    A model that is already the newest version is not pushed again, but its metadata and card are updated. A
    model that a rollback withdrew is not pushed.

    Raises:
      errors.ConfigError: the destination is not a folder, or belongs to another pipeline.
      errors.DataError: the model or a verdict is damaged or incomplete; or the model is not pushed, and the
        newest version is damaged.
      errors.EnvironmentFault: the destination cannot be written. It has no new version then.
    """
    inputs = card.Inputs(
        examples=examples,
        rejects=rejects,
        schema=schema,
        transformed_examples=transformed_examples,
        transform_graph=transform_graph,
        model=model,
        evaluation=evaluation,
        blessing=blessing,
        infra_blessing=infra_blessing,
    )
    refusal = _refusal(blessing, infra_blessing)
    record = Pushed(False, refusal) if refusal else _push(parameters, inputs, context)
    pushed_model.write(record)
    pushed_model.properties[pushed_model.PUSHED_PROPERTY] = int(record.pushed)
    if record.version is not None and record.path is not None and record.digest is not None:
        pushed_model.properties.update(version=record.version, path=record.path, digest=record.digest)
    context.say(record.reason)
    served = newest_version(storage.path(parameters.destination))
    if not record.pushed and (problem := _problem(served)):
        raise errors.DataError(
            f"the newest model in the serving folder, {served.path}, {problem}; this run publishes no other",
            "restore the folder from a copy; or serve an earlier version: `bitext rollback CONFIG --reason"
            " damaged`",
        )


def still_valid(parameters: Parameters, *, pushed_model: artifacts.PushedModel) -> bool:
    """Returns whether the pushed model is still the newest version and its files are unchanged.

    It is not the newest version after a rollback. Only the serving folder of the parameters counts: a copy of
    the pipeline root, which has the same records, may push to another folder.

    The result for a model that was not pushed stays valid, because verdicts and withdrawals are permanent,
    unless the newest version is damaged: an execution reports that.
    """
    try:
        record = pushed_model.record()
    except errors.DataError:
        return False
    served = newest_version(storage.path(parameters.destination))
    if not record.pushed or record.version is None:
        return not (record.pushed or _problem(served))
    if parameters.take_over:  # the version is to name another owner
        return False
    if int(served.path.name) != record.version:
        return False
    metadata = served.metadata()
    return metadata is not None and metadata.digest == served.model_digest() == record.digest


def _problem(served: ServedVersion) -> str:
    """Returns what is wrong with the newest version; empty if nothing is, or there is none."""
    return problem_of(served) if served.path.is_dir() else ""


def _refusal(blessing: artifacts.ModelBlessing, infra_blessing: artifacts.InfraBlessing) -> str:
    """Returns why the model may not be pushed; empty if it may.

    Raises:
      errors.DataError: a verdict is missing or damaged.
    """
    verdicts = {"Evaluator": blessing.verdict(), "InfraValidator": infra_blessing.verdict()}
    refused = [f"the {node} did not bless the model" for node, v in verdicts.items() if not v.blessed]
    return f"not pushed: {' and '.join(refused)}" if refused else ""


def _push(parameters: Parameters, inputs: card.Inputs, context: Context) -> Pushed:
    """Pushes the model, or updates the metadata of the newest version if that is the same model."""
    model = inputs.model
    model.verify()
    if not model.has_saved_model:
        raise model.damaged(model.serving, "holds no SavedModel")
    destination = storage.path(parameters.destination).absolute()
    digest = model_digest(model.serving)

    with reporting_serving_faults(destination), sole_writer(destination):
        if not parameters.take_over:
            check_owner(destination, parameters.pipeline, TAKE_OVER_REMEDY)
        clear(destination)
        served = newest_version(destination)
        newest, current = int(served.path.name), served.metadata()
        withdrawals = withdrawn(destination)
        if digest in withdrawals:
            reason = withdrawals[digest].reason
            return Pushed(False, f"not pushed: this model was withdrawn by a rollback ({reason})")
        # A model whose files were damaged in the serving folder is pushed again, as the next version.
        is_newest = current is not None and current.digest == digest == served.model_digest()
        metadata = VersionMetadata(
            digest,
            withdrawn=withdrawals,
            rolled_back_to=current.rolled_back_to if current is not None and is_newest else None,
            pipeline=parameters.pipeline,
            root_id=context.root_id or None,
            place=context.place or None,
            folder_inode=folder_inode(destination),
        )
        version = newest if is_newest else next_version(destination, newest)
        model_card = card.collect(
            inputs, parameters.card, destination.name, version, metadata, context.run_id
        )
        if model_card.scores is not None:
            bleu = model_card.scores.scores[Bleu.name]
            metadata = msgspec.structs.replace(metadata, bleu=bleu.score, bleu_signature=bleu.signature)
        metadata_files = {ServedVersion.METADATA: metadata.encode(), **card_files(model_card)}
        if is_newest:
            update_metadata(destination, version, metadata_files)
        else:
            publish(model.serving, destination, version, digest, metadata_files, context.check_use)
    path = destination / str(version)
    action = "was pushed before and is the newest version" if is_newest else "pushed"
    return Pushed(True, f"{action}: {path}", destination.name, version, str(path), digest)
