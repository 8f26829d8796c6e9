"""The model card of a pushed model: collects its fields from artifacts, and reads and writes its JSON.

The artifacts are the Pusher's inputs. A field whose artifact is missing or damaged is empty: an incomplete
card does not prevent a push.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from bitext.components import artifacts
from bitext.components.artifacts import (
    Metrics,
    ServedVersion,
    Summary,
    TextFile,
    VersionMetadata,
    Withdrawal,
)
from bitext.components.pusher import CardSettings
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import encode_json

FORMAT = 2
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The artifacts that a card is collected from: the Pusher's inputs, by name."""

    examples: Sequence[artifacts.Examples]
    rejects: Sequence[artifacts.Rejects]
    schema: artifacts.Schema
    transformed_examples: artifacts.TransformedExamples
    transform_graph: artifacts.TransformGraph
    model: artifacts.Model
    evaluation: artifacts.ModelEvaluation
    blessing: artifacts.ModelBlessing
    infra_blessing: artifacts.InfraBlessing


class Origin(msgspec.Struct, frozen=True):
    """An artifact of the lineage.

    Attributes:
      type: its kind.
      artifact: its folder below the pipeline root: `<node>/<output>/<execution>`.
      digest: the recorded SHA-256 of its content; null if none is recorded.
    """

    type: str
    artifact: str
    digest: str | None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The content of model_card.json. A field that is null or empty is not recorded.

    Attributes:
      format: 2. It changes when the name or the meaning of a field changes.
      model, version: the serving folder's name, and the model's version there.
      digest: the digest of the SavedModel's files, as in bitext.json.
      rolled_back_to: the earlier version that this version is a copy of, if a rollback made it.
      withdrawn: the models withdrawn by rollbacks, as in bitext.json.
      run_id: the run that pushed the model or last updated this card. It begins with the time, UTC.
      stated: the statements of the configuration (`pusher.card`).
      scores: the scores on the test split, and on the golden set if there is one.
      blessings: the reasons of both blessings, by node.
      forced: a person's reason to bless the model whatever its scores.
      data: counts of the corpus, summed over its spans.
      over_long: number of training pairs that have more tokens than the model reads.
      synthetic: number of synthetic training pairs, which teacher models made (`augmentation`), by how they
        were made: `forward`, `backward`, `monolingual_source`, `monolingual_target`.
      text: how text becomes tokens, from the transform graph.
      weights: number of trained weights.
      settings: the Trainer's parameters.
      software: versions of the software that the model was trained with.
      lineage: the Pusher's input artifacts, by the input's name; a list for an input with one artifact for
        each span.
    """

    format: int = FORMAT
    model: str
    version: int
    digest: str
    rolled_back_to: int | None = None
    withdrawn: dict[str, Withdrawal] = {}
    run_id: str | None = None
    stated: CardSettings = CardSettings()
    scores: Metrics | None = None
    blessings: dict[str, tuple[str, ...]] = {}
    forced: str | None = None
    data: Summary | None = None
    over_long: int | None = None
    synthetic: dict[str, int] = {}
    text: TextFile | None = None
    weights: int | None = None
    settings: dict[str, Any] = {}
    software: dict[str, str] = {}
    lineage: dict[str, Origin | tuple[Origin, ...]] = {}

    def encode(self) -> bytes:
        """Returns the content of the card as JSON."""
        scores = self.scores.to_json() if self.scores is not None else None
        return encode_json({**msgspec.to_builtins(self), "scores": scores})

    @classmethod
    def decode(cls, content: bytes) -> Card:
        """Returns the card with this content. Scores and data with other fields or types are left out.

        Raises:
          msgspec.MsgspecError, UnicodeDecodeError: the content is not a card.
        """
        fields = msgspec.json.decode(content, type=dict[str, Any])
        scores = _convert_or_none(Metrics.from_json, fields.pop("scores", None))
        data = _convert_or_none(lambda value: msgspec.convert(value, Summary), fields.pop("data", None))
        return msgspec.structs.replace(msgspec.convert(fields, cls), scores=scores, data=data)


def _convert_or_none(convert: Callable[[Any], T], value: Any) -> T | None:
    """Returns the converted value; None if the value is null or cannot be converted."""
    try:
        return None if value is None else convert(value)
    except msgspec.MsgspecError:
        return None


def collect(
    inputs: Inputs,
    stated: CardSettings,
    model: str,
    version: int,
    metadata: VersionMetadata,
    run_id: str,
) -> Card:
    """Collects the card of a model.

    Args:
      inputs: the artifacts.
      stated: the statements of the configuration.
      model, version: see `Card`.
      metadata: the metadata of the version.
      run_id: see `Card`.
    """
    blessings = (inputs.blessing, inputs.infra_blessing)
    verdicts = {artifact.NODE: _read_or_none(artifact.verdict) for artifact in blessings}
    verdict = verdicts[inputs.blessing.NODE]
    training = inputs.model.properties
    return Card(
        model=model,
        version=version,
        digest=metadata.digest,
        rolled_back_to=metadata.rolled_back_to,
        withdrawn=metadata.withdrawn,
        run_id=run_id or None,
        stated=stated,
        scores=_read_or_none(inputs.evaluation.metrics),
        blessings={node: tuple(v.reasons) for node, v in verdicts.items() if v is not None and v.reasons},
        forced=verdict.forced if verdict is not None else None,
        data=_read_or_none(lambda: Summary.total([span.summary() for span in inputs.rejects])),
        over_long=_integer(inputs.transformed_examples.properties.get("train_over_long")),
        synthetic=_synthetic(inputs.transformed_examples),
        text=_read_or_none(inputs.transform_graph.text),
        weights=_integer(training.get("weights")),
        settings=_read_or_none(lambda: inputs.model.trainer_parameters(dict[str, Any])) or {},
        software={name: str(training[name]) for name in ("python", "tensorflow") if name in training},
        lineage={field.name: _origins(getattr(inputs, field.name)) for field in dataclasses.fields(Inputs)},
    )


def card_of_copy(earlier: ServedVersion, model: str, version: int, metadata: VersionMetadata) -> Card:
    """Returns the card of an earlier version, for the copy of it that a rollback makes.

    Args:
      earlier: the earlier version.
      model, version: of the copy.
      metadata: of the copy.
    """
    try:
        card = Card.decode((earlier.path / ServedVersion.CARD_JSON).read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        card = Card(model=model, version=version, digest=metadata.digest)
    return msgspec.structs.replace(
        card,
        format=FORMAT,
        model=model,
        version=version,
        rolled_back_to=metadata.rolled_back_to,
        withdrawn=metadata.withdrawn,
    )


def _read_or_none(read: Callable[[], T]) -> T | None:
    """Returns the result of a function that reads a file; None if the file is missing or damaged."""
    try:
        return read()
    except DataError:
        return None


def _synthetic(transformed: artifacts.TransformedExamples) -> dict[str, int]:
    """The number of synthetic training pairs, by how they were made."""
    counts = {
        origin.value: transformed.properties.get(origin.pairs_property) for origin in artifacts.PairOrigin
    }
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _integer(value: artifacts.Property | None) -> int | None:
    return value if isinstance(value, int) else None


def _origins(
    artifact_or_list: artifacts.Artifact | Sequence[artifacts.Artifact],
) -> Origin | tuple[Origin, ...]:
    return (
        _origin(artifact_or_list)
        if isinstance(artifact_or_list, artifacts.Artifact)
        else tuple(map(_origin, artifact_or_list))
    )


def _origin(artifact: artifacts.Artifact) -> Origin:
    return Origin(artifact.TYPE_NAME, "/".join(artifact.path.parts[-3:]), artifact.digest)
