"""Runs TensorFlow Transform over the splits and writes the token ids in length buckets."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import msgspec
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.beam.analyzer_cache import DatasetKey
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tensor_adapter, tf_example_record

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import path_without_globs
from bitext.components.text import BOS_ID, EOS_ID, SideFiles, TextFile, TextSettings, processor
from bitext.components.transform import (
    Parameters,
    canonical,
    padded,
    ragged,
    resegment,
    vocabulary,
)
from bitext.components.transform import (
    analyzer_cache as counted,
)

FEATURES = ("id", "source", "target")
TRAIN = "train"
# Where a row stands in its split, carried past the graph: it puts the batches back in order.
POSITION = "position"
_ROWS_OF_A_FILE = 2**40
SPANS_AT_ONCE = 16
"""Spans counted in one pass: TFT loads the graph once for each, into some 30 MB."""


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: Sequence[artifacts.Examples],
    schema: artifacts.Schema,
    analyzer_cache: artifacts.TransformCache | None,
    transform_graph: artifacts.TransformGraph,
    transformed_examples: artifacts.Examples,
    updated_analyzer_cache: artifacts.TransformCache,
) -> None:
    """See `bitext.components.transform`.

    Raises:
      DataError: the schema lacks a feature, or a split has no examples in any span, or none short enough.
    """
    names = sorted({name for span in examples for name in span.splits()})
    if TRAIN not in names:
        raise DataError(
            f"{examples[0].path}: there is no train split", "The vocabulary is learnt from it: add one."
        )
    splits = {name: _files(examples, name) for name in names}
    feature_schema = _feature_schema(schema.path / "schema.pbtxt")
    batches = {name: context.temp_dir / "batches" / name for name in splits}
    for folder in batches.values():
        folder.mkdir(parents=True)
    old = None if analyzer_cache is None else analyzer_cache.path
    window = _window(parameters, feature_schema, examples, old, updated_analyzer_cache.path)
    if len(examples) > 1 or window.complete:
        context.say(f"analysis of {len(window.complete)} of {len(examples)} spans taken from the cache")
    while len(window.found) - len(window.complete) > SPANS_AT_ONCE:
        _count(parameters, context, splits[TRAIN], window, feature_schema)
        window = _window(parameters, feature_schema, examples, window.cache, window.cache)
    _run_beam(parameters, context, splits, window, feature_schema, batches, transform_graph.path)
    canonical.rewrite(transform_graph.path / "transform_fn")
    metadata = transform_graph.path / "metadata" / "schema.pbtxt"
    metadata.parent.mkdir()
    metadata.write_text(text_format.MessageToString(feature_schema))
    text = _write_text_file(parameters, transform_graph.path)
    transform_graph.properties.update(
        unit=parameters.unit, source_vocabulary=text.source.size, target_vocabulary=text.target.size
    )
    if parameters.segmentations > 1:
        _resegment(parameters, text, transform_graph.path, batches[TRAIN])
    padded.write(parameters, context, batches, transformed_examples)


def _files(examples: Sequence[artifacts.Examples], split: str) -> list[list[str]]:
    """The split's TFRecord files, of each span in order; at least one record is in them."""
    spans = [sorted(str(path) for path in span.split(split).glob("*.gz")) for span in examples]
    if not any(_has_record(file) for files in spans for file in files):
        others = f" or in the {len(spans) - 1} spans after it" if len(spans) > 1 else ""
        raise DataError(
            f"{examples[0].split(split)}: the split has no examples here{others}",
            "Give more data, or a larger share to this split.",
        )
    return spans


def _has_record(file: str) -> bool:
    """Whether a TFRecord file has a record."""
    try:
        return next(iter(tf.data.TFRecordDataset(file, compression_type="GZIP")), None) is not None
    except tf.errors.DataLossError as error:
        raise DataError(f"{file}: {error.message}", "Run ExampleGen again.") from error


def _feature_schema(path: Path) -> schema_pb2.Schema:
    """The three features of the schema file, each as one value an example."""
    try:
        schema = text_format.Parse(path.read_text(), schema_pb2.Schema())
    except (OSError, text_format.ParseError) as error:
        raise DataError(f"{path}: the schema cannot be read: {error}", "Run SchemaGen again.") from error
    known = {feature.name: feature for feature in schema.feature}
    result = schema_pb2.Schema()
    for name in FEATURES:
        if name not in known or known[name].type != schema_pb2.BYTES:
            raise DataError(
                f"{path}: no feature {name} of type BYTES", f"Add the feature {name} to the schema."
            )
        feature = result.feature.add(name=name, type=schema_pb2.BYTES)
        feature.shape.SetInParent()
        feature.presence.min_fraction = 1.0
    return result


def _window(
    parameters: Parameters,
    schema: schema_pb2.Schema,
    examples: Sequence[artifacts.Examples],
    old: Path | None,
    cache: Path,
) -> counted.Window:
    """What of the analysis of the spans can be taken over from an old cache."""
    keys = counted.dataset_keys(span.split(TRAIN) for span in examples)
    if old is None:
        return counted.Window(cache, {key: [] for key in keys})
    analyzers = tft_beam.analysis_graph_builder.get_analysis_cache_entry_keys(
        functools.partial(_analysis_alone, parameters=parameters),
        tensor_adapter.TensorAdapter(_tensor_adapter_config(schema)).OriginalTypeSpecs(),
        keys,
        force_tf_compat_v1=False,
    )
    return counted.Window.carried_over(cache, keys, old, analyzers)


def _count(
    parameters: Parameters,
    context: Context,
    train: list[list[str]],
    window: counted.Window,
    schema: schema_pb2.Schema,
) -> None:
    """Counts the first SPANS_AT_ONCE of the spans that have not been, into the window's cache."""
    read = functools.partial(_read, schema=schema, batch_size=parameters.batch_size)
    with (
        _tft_folder(context) as temp_dir,
        context.beam_pipeline() as pipeline,
        tft_beam.Context(temp_dir=str(temp_dir), passthrough_keys={POSITION}),
    ):
        rows = _read_new(pipeline, read, train, window, SPANS_AT_ONCE)
        analyse = tft_beam.AnalyzeDatasetWithCache(
            functools.partial(_analysis_alone, parameters=parameters), pipeline
        )
        _, newly_counted = (rows, {}, _tensor_adapter_config(schema)) | "Count" >> analyse
        window.write(newly_counted)


def _tft_folder(context: Context) -> contextlib.AbstractContextManager[Path]:
    """The folder of TensorFlow Transform's temporary files, which it loads models from."""
    folder = context.temp_dir / "tft"
    folder.mkdir(exist_ok=True)
    return path_without_globs(folder)


def _run_beam(
    parameters: Parameters,
    context: Context,
    splits: dict[str, list[list[str]]],
    window: counted.Window,
    schema: schema_pb2.Schema,
    batches: dict[str, Path],
    transform_graph: Path,
) -> None:
    """Analyses train, transforms every split to Arrow files of ragged ids, and writes the transform graph."""
    config = _tensor_adapter_config(schema)
    read = functools.partial(_read, schema=schema, batch_size=parameters.batch_size)
    with (
        _tft_folder(context) as temp_dir,
        context.beam_pipeline() as pipeline,
        tft_beam.Context(temp_dir=str(temp_dir), passthrough_keys={POSITION}),
    ):
        train = dict.fromkeys(window.found) | _read_new(pipeline, read, splits[TRAIN], window)
        preprocess = functools.partial(preprocessing_fn, parameters=parameters)
        analyse = tft_beam.AnalyzeDatasetWithCache(preprocess, pipeline)
        transform_fn, newly_counted = (train, window.read(pipeline), config) | "Analyse" >> analyse
        window.write(newly_counted)
        _ = transform_fn | "WriteTransformFn" >> tft_beam.WriteTransformFn(str(transform_graph))
        for split, spans in splits.items():
            # Read again: reading twice is cheaper than keeping the batches from the first time.
            files = list(enumerate(itertools.chain.from_iterable(spans)))
            rows = pipeline | f"List/{split}" >> beam.Create(files)
            rows = rows | f"Reshuffle/{split}" >> beam.Reshuffle() | f"Read/{split}" >> beam.FlatMap(read)
            transformed, _ = (
                (rows, config),
                transform_fn,
            ) | f"Transform/{split}" >> tft_beam.TransformDataset(output_record_batches=True)
            _ = transformed | f"Write/{split}" >> beam.Map(_write_batch, str(batches[split]))


def _read_new(
    pipeline: beam.Pipeline,
    read: Callable[[tuple[int, str]], Iterator[pa.RecordBatch]],
    train: list[list[str]],
    window: counted.Window,
    most: int | None = None,
) -> dict[DatasetKey, beam.PCollection]:
    """The record batches of each span that has not been counted, or of the first so many."""
    new = [(key, files) for key, files in zip(window.found, train, strict=True) if key not in window.complete]
    return {
        key: pipeline
        | f"ListTrain/{span}" >> beam.Create(list(enumerate(files)))
        | f"ReadTrain/{span}" >> beam.FlatMap(read)
        for span, (key, files) in enumerate(new[:most])
    }


def preprocessing_fn(inputs: dict[str, tf.Tensor], *, parameters: Parameters) -> dict[str, tf.Tensor]:
    """The graph: `id`, `source`, `target` string[B] to `id`, `source_ids` and `target_ids` int64[B, None].

    A source ends with `</s>`; a target begins with `<s>` and ends with `</s>`.
    """
    settings = text_settings(parameters)
    assets = _vocabularies(inputs, parameters)
    ids = {}
    for side in assets:
        name = "text" if parameters.shared_vocabulary else f"{side}_text"
        ids[side] = vocabulary.tokenize(
            inputs[side], settings, parameters.vocabulary_size, assets[side], name
        )
    rows = tf.size(inputs["id"])
    end = tf.fill([rows, 1], tf.constant(EOS_ID, tf.int64))
    start = tf.fill([rows, 1], tf.constant(BOS_ID, tf.int64))
    return {
        "id": inputs["id"],
        "source_ids": tf.concat([ids["source"], end], axis=1),
        "target_ids": tf.concat([start, ids["target"], end], axis=1),
    }


def _vocabularies(
    inputs: dict[str, tf.Tensor], parameters: Parameters
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """The analysis: of each side, the paths of the vocabulary files learnt."""
    settings = text_settings(parameters)
    pretokens = {
        side: processor.pretokenize(processor.normalize(inputs[side], settings)).values
        for side in ("source", "target")
    }
    learn = functools.partial(
        vocabulary.vocabulary_assets, settings=settings, size=parameters.vocabulary_size
    )
    if parameters.shared_vocabulary:
        both = learn(tf.concat([pretokens["source"], pretokens["target"]], axis=0), prefix="")
        return {"source": both, "target": both}
    return {side: learn(pretokens[side], prefix=f"{side}.") for side in pretokens}


def _analysis_alone(inputs: dict[str, tf.Tensor], *, parameters: Parameters) -> dict[str, tf.Tensor]:
    """The part of `preprocessing_fn` that TFT's cache keys depend on. The whole cannot be traced for them.

    There the paths of the vocabularies are placeholders, which no table can be made of.
    """
    _vocabularies(inputs, parameters)
    return {"id": inputs["id"]}


def text_settings(parameters: Parameters) -> TextSettings:
    """The text settings among the parameters."""
    return TextSettings(unit=parameters.unit, lowercase=parameters.lowercase)


def _tensor_adapter_config(schema: schema_pb2.Schema) -> tensor_adapter.TensorAdapterConfig:
    """How record batches of `_read` become tensors: the schema's features; the position beside them."""
    config = tf_example_record.TFExampleBeamRecord(
        physical_format="inmem", telemetry_descriptors=["bitext"], schema=schema
    ).TensorAdapterConfig()
    position = pa.field(POSITION, pa.large_list(pa.int64()))
    return tensor_adapter.TensorAdapterConfig(
        config.arrow_schema.append(position), config.tensor_representations
    )


def _read(
    numbered_file: tuple[int, str], *, schema: schema_pb2.Schema, batch_size: int
) -> Iterator[pa.RecordBatch]:
    """The record batches of one TFRecord file, with a column of positions."""
    number, file = numbered_file
    decoder = example_coder.ExamplesToRecordBatchDecoder(schema.SerializeToString())
    first = number * _ROWS_OF_A_FILE
    for records in (
        tf.data.TFRecordDataset(file, compression_type="GZIP").batch(batch_size).as_numpy_iterator()
    ):
        batch = decoder.DecodeBatch(records.tolist())
        size = batch.num_rows
        position = pa.LargeListArray.from_arrays(
            pa.array(np.arange(size + 1)), pa.array(np.arange(first, first + size))
        )
        names = [*batch.schema.names, POSITION]
        yield pa.RecordBatch.from_arrays([*batch.columns, position], names)
        first += size


def _write_batch(batch_and_unary: tuple[pa.RecordBatch, dict[str, pa.Array]], folder: str) -> None:
    """Writes a transformed batch to an Arrow file whose name sorts by the batch's place in the split."""
    batch, _ = batch_and_unary
    first = batch.column(batch.schema.get_field_index(POSITION)).flatten()[0].as_py()
    ragged.write(Path(folder) / f"{first:020d}.arrow", batch)


def _resegment(parameters: Parameters, text: TextFile, transform_graph: Path, folder: Path) -> None:
    """Puts further segmentations of the training examples into their folder."""
    sides = {"source_ids": text.source, "target_ids": text.target}
    splits = {
        name: resegment.Splits.read(transform_graph / side.merges, side.size) for name, side in sides.items()
    }
    longest = {"source_ids": parameters.source_max_length, "target_ids": parameters.target_max_length}
    resegment.write(folder, parameters.segmentations, parameters.subword_dropout, splits, longest)


def _write_text_file(parameters: Parameters, transform_graph: Path) -> TextFile:
    """Writes and returns `text.json`."""
    assets = transform_graph / "transform_fn" / "assets"
    sides = {}
    for side in ("source", "target"):
        prefix = "" if parameters.shared_vocabulary else f"{side}."
        paths = {
            kind: next(assets.glob(vocabulary.asset_name(prefix, kind, "*")))
            for kind in ("vocabulary", "merges")
        }
        size = paths["vocabulary"].read_bytes().count(b"\n")
        names = {kind: str(path.relative_to(transform_graph)) for kind, path in paths.items()}
        sides[side] = SideFiles(**names, size=size)
    text = TextFile(
        settings=text_settings(parameters),
        shared=parameters.shared_vocabulary,
        source_max_length=parameters.source_max_length,
        **sides,
    )
    (transform_graph / "text.json").write_bytes(msgspec.json.format(msgspec.json.encode(text)) + b"\n")
    return text
