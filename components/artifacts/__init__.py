"""Artifact kinds: what travels between components. Each docstring draws the kind's file tree.

The names, folders and file names are those of TFX, so that its users and its tools feel at home.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

Property = int | float | str

TEST_SPLIT = "test"
"""The split that models are scored on. Training and early stopping never read it."""


@dataclasses.dataclass
class Artifact:
    """A folder with a type, and what is said of it in the metadata store.

    Attributes:
      path: the folder. A component reads inputs below it and fills an output's, which exists and is
        empty when the component is called.
      properties: scalars recorded beside the artifact (counts, scores). A component adds to an
        output's; the runner stores them.
      readable: of an input, the only splits its reader declared; None: all.
      digest: of an input, the sha256 of its content that is on record; None: there is no record.
    """

    TYPE_NAME: ClassVar[str] = "Artifact"

    path: Path
    properties: dict[str, Property] = dataclasses.field(default_factory=dict)
    readable: tuple[str, ...] | None = None
    digest: str | None = None

    def split(self, name: str) -> Path:
        """The folder of one split, `Split-<name>`.

        Raises:
          ValueError: the reader has not declared that it reads it (`Component.splits`).
        """
        if self.readable is not None and name not in self.readable:
            raise ValueError(f"split {name} is not among those declared as read: {self.readable}")
        return self.path / f"Split-{name}"

    def splits(self) -> list[str]:
        """Names of the splits present, in alphabetical order."""
        return sorted(p.name.removeprefix("Split-") for p in self.path.glob("Split-*"))


def span_of(artifact: Artifact) -> str:
    """What a person calls the artifact's span: `span 7`, `span 7 version 2`; empty without spans.

    The part of the work it came from, where the runner recorded one, else by its properties.
    """
    numbers = [
        f"{name} {artifact.properties[name]}" for name in ("span", "version") if name in artifact.properties
    ]
    return str(artifact.properties.get("part", " ".join(numbers)))


class Examples(Artifact):
    """TFRecords of tf.Example.

    From ExampleGen, features `id`, `source`, `target` (one byte string each)::

        Split-train/data_tfrecord-00000-of-00001.gz
        Split-eval/data_tfrecord-00000-of-00001.gz
        Split-test/data_tfrecord-00000-of-00001.gz

    From GoldenGen, the same in `Split-golden`.

    From Transform, one file or more for every pair of padded lengths, features `id`, `source_ids`
    int64[S], `source_length`, `target_ids` int64[T] (with `<s>` and `</s>`), `target_length`::

        Split-train/transformed_examples-s012-t014-00000-of-00001.gz
        Split-train/buckets.json        [{"source", "target", "examples", "target_tokens", "files"}, ...]
    """

    TYPE_NAME = "Examples"


class Rejects(Artifact):
    """Rows that did not become examples, in file order, with the reason of each::

    rejects.jsonl.gz     {"file", "line", "reason", "detail", "text"} a line
    summary.json         {"rows", "accepted", "duplicates", "golden_removed", "reasons": {reason: count}, ...}
    """

    TYPE_NAME = "Rejects"


class ExampleStatistics(Artifact):
    """TFDV statistics of each split::

    Split-train/FeatureStats.pb

    From RequestStatistics, of what a served model was asked, the source side alone::

    Split-serving/FeatureStats.pb
    """

    TYPE_NAME = "ExampleStatistics"


class Schema(Artifact):
    """The data contract::

    schema.pbtxt
    """

    TYPE_NAME = "Schema"


class ExampleAnomalies(Artifact):
    """What TFDV found, an `Anomalies` message a comparison, with the severities ExampleValidator decided::

    Split-train/SchemaDiff.pb               a split against the schema
    drift/Split-train/SchemaDiff.pb         a split against the previous blessed run's
    train-eval/Split-train/SchemaDiff.pb    the train split against the eval split
    serving/Split-train/SchemaDiff.pb       the train split against what serving saw

    Of a corpus by spans, the first two for each span (drift of the new ones), the others of all together::

    span-7/Split-train/SchemaDiff.pb
    span-7/drift/Split-train/SchemaDiff.pb
    """

    TYPE_NAME = "ExampleAnomalies"


class TransformCache(Artifact):
    """What TensorFlow Transform counted in each span, kept for the next analysis (TFT's analyzer cache)::

    <digest of a span's train split>-0/<digest of TFT's cache entry key>    the counts, after a SHA-256
    """

    TYPE_NAME = "TransformCache"


class TransformGraph(Artifact):
    """TensorFlow Transform's output::

    transform_fn/saved_model.pb, transform_fn/assets/<vocabulary files>
    transformed_metadata/schema.pbtxt
    metadata/schema.pbtxt
    text.json               the text settings (components/text), vocabulary files and sizes
    """

    TYPE_NAME = "TransformGraph"


class Model(Artifact):
    """A trained model::

    Format-Serving/saved_model.pb ...   what Evaluator scores and Pusher pushes
    Format-Serving/assets.extra/tf_serving_warmup_requests
    checkpoint/weights.npz              the same weights by name, for warm starts and tests
    checkpoint/vocabulary.json          {"source": [...], "target": [...]}: tokens by id
    checkpoint/settings.json            the architecture, `ModelSettings`
    model.json                          its architecture and training settings
    samples.json                        [{"source", "translation", "score"}, ...]: the trainer's output
    """

    TYPE_NAME = "Model"

    @property
    def serving(self) -> Path:
        """The SavedModel."""
        return self.path / "Format-Serving"


class ModelRun(Artifact):
    """What TensorBoard shows of the training::

    logs/train/events.out.tfevents...
    history.jsonl               {"step", "minutes", "loss", "bleu"} a validation
    """

    TYPE_NAME = "ModelRun"


class ModelEvaluation(Artifact):
    """Scores on the held-out sets::

    metrics.json                BLEU, chrF with signatures and intervals, perplexity, ...; `golden`: the same
    translations.jsonl          {"id", "source", "hypothesis", "references", "score"} a sentence translated
    translations-golden.jsonl   the golden set's, if there is one
    """

    TYPE_NAME = "ModelEvaluation"


class ModelBlessing(Artifact):
    """The evaluator's verdict: one of two files, {"blessed", "reasons", "forced"}::

    BLESSED | NOT_BLESSED
    """

    TYPE_NAME = "ModelBlessing"


class InfraBlessing(Artifact):
    """Whether stock TensorFlow serves the export as the trainer ran it::

    INFRA_BLESSED | INFRA_NOT_BLESSED   with the reasons as JSON
    """

    TYPE_NAME = "InfraBlessing"


class PushedModel(Artifact):
    """What was pushed, where::

        pushed.json    {"pushed": bool, "model", "version": int, "path", "digest", "reason"}

    The model itself lies at `<serving folder>/<version>/`, a copy of `Format-Serving/`, and beside it::

        assets.extra/bitext.json        digest of the model, BLEU, models withdrawn: what the next push heeds
        assets.extra/model_card.json    what is known of the model (components/pusher/card.py)
        assets.extra/model_card.md      the main of it, to be read
    """

    TYPE_NAME = "PushedModel"
