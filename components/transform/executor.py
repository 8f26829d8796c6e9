"""Runs TensorFlow Transform over the splits and writes the token ids in length buckets."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.beam.analyzer_cache import DatasetKey
from tfx_bsl.tfxio import tensor_adapter

from bitext.components import artifacts
from bitext.components.artifacts import SideFiles, TextFile
from bitext.components.component import Context
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import path_without_globs
from bitext.components.shared.parts import count_parts
from bitext.components.transform import (
    Parameters,
    WeightedParameters,
    analyzer_cache,
    fitting,
    padded,
    ragged,
    resegment,
    selection,
)
from bitext.components.transform.batches import POSITION, File, tensor_adapter_config
from bitext.components.transform.batches import read as read_batches
from bitext.components.transform.given_sides import GivenSides, text_file, text_settings
from bitext.components.transform.pattern import check_pattern, no_match
from bitext.components.transform.preprocessing import (
    FEATURES,
    analysis_fn,
    preprocessing_fn,
)
from bitext.components.transform.selection import Copies

TRAIN = "train"
MAX_SPANS_PER_PASS = 16
"""Spans counted in one pass. TFT loads the graph once for each span, which takes about 30 MB."""


def run(
    parameters: WeightedParameters,
    context: Context,
    *,
    examples: Sequence[artifacts.Examples],
    schema: artifacts.Schema,
    previous_cache: artifacts.TransformCache | None,
    transform_graph: artifacts.TransformGraph,
    transformed_examples: artifacts.TransformedExamples,
    updated_analyzer_cache: artifacts.TransformCache,
    rejects: artifacts.Rejects,
) -> None:
    """Learns the vocabularies from the train split, and writes the transform graph and the token ids.

    Args:
      parameters: Transform's parameters.
      context: the run.
      examples: the examples of each span.
      schema: the schema of the examples.
      previous_cache: the analyzer cache of an earlier run, if there is one.
      transform_graph, transformed_examples, updated_analyzer_cache: the outputs.
      rejects: receives the training pairs that cleaning leaves out because of other spans and corpora.

    Raises:
      DataError: the schema lacks a feature, there is no train split, or a split has no example in any span or
        no example within the maximum lengths.
    """
    names = sorted({name for span in examples for name in span.splits()})
    if TRAIN not in names:
        raise DataError(
            f"{examples[0].path}: there is no train split",
            "add one: the vocabulary is learned from it (`splits` of example_gen)",
        )
    splits = {name: _files(examples, name) for name in names}
    parameters, given = _resolve(parameters, context, splits[TRAIN])
    feature_schema = _feature_schema(schema)
    batches = {name: context.temp_dir / "batches" / name for name in splits}
    for folder in batches.values():
        folder.mkdir(parents=True)
    window = _window(parameters, given, feature_schema, examples, previous_cache, updated_analyzer_cache)
    _report_cached(context, examples, window)
    while len(window.cached) - len(window.complete) > MAX_SPANS_PER_PASS:
        _count(parameters, given, context, splits[TRAIN], window, feature_schema)
        window = _window(parameters, given, feature_schema, examples, window.cache, window.cache)
    copies = selection.copies(parameters, examples, rejects, context.say)
    preprocess = functools.partial(preprocessing_fn, parameters=parameters, given=given)
    output = transform_graph.path
    with context.progress("rows", _rows_to_read(examples, window)):
        _run_beam(parameters, preprocess, context, splits, copies, window, feature_schema, batches, output)
    transform_graph.write_feature_schema(feature_schema)
    text = text_file(parameters, transform_graph, given)
    transform_graph.write_text(text)
    transform_graph.properties.update(
        unit=parameters.unit, source_vocabulary=text.source.size, target_vocabulary=text.target.size
    )
    if parameters.subword_samples > 1:
        _resegment(parameters, text, transform_graph.path, batches[TRAIN])
    padded.write(parameters, context, batches, transformed_examples)
    _warn(parameters, context, text, transform_graph, transformed_examples)


def _resolve(
    parameters: WeightedParameters, context: Context, train: list[list[str]]
) -> tuple[WeightedParameters, GivenSides]:
    """Returns the parameters with a number for `vocabulary_size: auto`, and the given vocabularies.

    Raises:
      ConfigError: the pattern of whole tokens is no regular expression, or a given vocabulary changes a whole
        token.
      DataError: a vocabulary file cannot be read, or bitext cannot apply it.
    """
    check_pattern(parameters.whole_token_pattern)
    parameters, line = fitting.with_vocabulary_size(parameters, itertools.chain.from_iterable(train))
    given = GivenSides.read(parameters)
    given.check_whole_tokens(text_settings(parameters))
    is_learned = given.source is None or given.target is None
    for note in (*filter(None, [line if is_learned else ""]), *given.notes(parameters)):
        context.say(note)
    return parameters, given


def _files(examples: Sequence[artifacts.Examples], split: str) -> list[list[str]]:
    """Returns the split's TFRecord files: a list for each span, in order.

    Raises:
      DataError: the split has no example in any span, or a file is damaged.
    """
    spans = [[str(path) for path in span.files(split)] for span in examples]
    if not any(_has_record(file) for files in spans for file in files):
        after = count_parts([artifacts.span_label(part) for part in examples[1:]])
        others = f" or in the {after} after it" if len(spans) > 1 else ""
        raise DataError(
            f"{examples[0].split(split)}: the split has no examples here{others}",
            "give more data, or a larger share to this split",
        )
    return spans


def _has_record(file: str) -> bool:
    """Whether a TFRecord file has a record."""
    return next(tfrecord.read_records(Path(file), 1), None) is not None


def _feature_schema(schema_artifact: artifacts.Schema) -> schema_pb2.Schema:
    """Returns a schema of the features `FEATURES` alone, each with one value in every example.

    Raises:
      DataError: the schema is damaged, or has no such feature.
    """
    schema = schema_artifact.load()
    features = {feature.name: feature for feature in schema.feature}
    feature_schema = schema_pb2.Schema()
    for name in FEATURES:
        if name not in features or features[name].type != schema_pb2.BYTES:
            raise DataError(
                f"{schema_artifact.file}: no feature {name} of type BYTES",
                f"add the feature {name} to the schema",
            )
        feature = feature_schema.feature.add(name=name, type=schema_pb2.BYTES)
        feature.shape.SetInParent()
        feature.presence.min_fraction = 1.0
    return feature_schema


def _window(
    parameters: Parameters,
    given: GivenSides,
    schema: schema_pb2.Schema,
    examples: Sequence[artifacts.Examples],
    old: artifacts.TransformCache | None,
    cache: artifacts.TransformCache,
) -> analyzer_cache.Window:
    """Returns the spans to analyze, with their counts from an old cache."""
    keys = analyzer_cache.dataset_keys((span.split(TRAIN) for span in examples), parameters.augmentation)
    if old is None:
        return analyzer_cache.Window(cache, {key: [] for key in keys})
    analyzers = tft_beam.analysis_graph_builder.get_analysis_cache_entry_keys(
        functools.partial(analysis_fn, parameters=parameters, given=given),
        tensor_adapter.TensorAdapter(tensor_adapter_config(schema)).OriginalTypeSpecs(),
        keys,
        force_tf_compat_v1=False,
    )
    return analyzer_cache.Window.carried_over(cache, keys, old, analyzers)


def _count(
    parameters: Parameters,
    given: GivenSides,
    context: Context,
    train: list[list[str]],
    window: analyzer_cache.Window,
    schema: schema_pb2.Schema,
) -> None:
    """Counts the first MAX_SPANS_PER_PASS of the spans that are not cached, into the window's cache."""
    read = functools.partial(read_batches, schema=schema, parameters=parameters, augmented=True)
    with (
        _tft_folder(context) as temp_dir,
        context.progress("rows"),
        context.beam_pipeline() as pipeline,
        tft_beam.Context(temp_dir=str(temp_dir), passthrough_keys={POSITION}),
    ):
        rows = _read_new(pipeline, read, train, window, MAX_SPANS_PER_PASS)
        analyze = tft_beam.AnalyzeDatasetWithCache(
            functools.partial(analysis_fn, parameters=parameters, given=given), pipeline
        )
        _, newly_counted = (rows, {}, tensor_adapter_config(schema)) | "Count" >> analyze
        window.write(newly_counted)


def _tft_folder(context: Context) -> contextlib.AbstractContextManager[Path]:
    """Context manager: yields a folder without glob characters for TensorFlow Transform's temporary files."""
    folder = context.temp_dir / "tft"
    folder.mkdir(exist_ok=True)
    return path_without_globs(folder)


def _run_beam(
    parameters: Parameters,
    preprocess: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    context: Context,
    splits: dict[str, list[list[str]]],
    copies: dict[str, Copies],
    window: analyzer_cache.Window,
    schema: schema_pb2.Schema,
    batches: dict[str, Path],
    transform_graph: Path,
) -> None:
    """Analyzes train, transforms every split to Arrow files of ragged ids, and writes the transform graph."""
    config = tensor_adapter_config(schema)
    read = functools.partial(read_batches, schema=schema, parameters=parameters)
    read_train = functools.partial(read, augmented=True)
    with (
        _tft_folder(context) as temp_dir,
        context.beam_pipeline() as pipeline,
        tft_beam.Context(temp_dir=str(temp_dir), passthrough_keys={POSITION}),
    ):
        train = dict.fromkeys(window.cached) | _read_new(pipeline, read_train, splits[TRAIN], window)
        analyze = tft_beam.AnalyzeDatasetWithCache(preprocess, pipeline)
        transform_fn, newly_counted = (train, window.read(pipeline), config) | "Analyze" >> analyze
        window.write(newly_counted)
        _ = transform_fn | "WriteTransformFn" >> tft_beam.WriteTransformFn(str(transform_graph))
        for split, spans in splits.items():
            # The files are read a second time: this costs less than to keep the batches of the analysis.
            paths = list(itertools.chain.from_iterable(spans))
            files = [File(number, path, copies.get(path)) for number, path in enumerate(paths)]
            rows = pipeline | f"List/{split}" >> beam.Create(files)
            rows = rows | f"Reshuffle/{split}" >> beam.Reshuffle()
            rows = rows | f"Read/{split}" >> beam.FlatMap(read_train if split == TRAIN else read)
            transformed, _ = (
                (rows, config),
                transform_fn,
            ) | f"Transform/{split}" >> tft_beam.TransformDataset(output_record_batches=True)
            _ = transformed | f"Write/{split}" >> beam.Map(_write_batch, str(batches[split]))


def _report_cached(
    context: Context, examples: Sequence[artifacts.Examples], window: analyzer_cache.Window
) -> None:
    """Prints how many spans need no analysis, if there are several spans or one needs none."""
    if len(examples) > 1 or window.complete:
        every_part = count_parts([artifacts.span_label(part) for part in examples])
        context.say(f"analysis of {len(window.complete)} of {every_part} taken from the cache")


def _rows_to_read(examples: Sequence[artifacts.Examples], window: analyzer_cache.Window) -> int | None:
    """Number of rows that are read: those of all splits, and again those of train that are not cached.

    None: older examples do not tell their number.
    """
    analyzed = [span for span, key in zip(examples, window.cached, strict=True) if key not in window.complete]
    names = [(span, name) for span in examples for name in span.splits()] + [(s, TRAIN) for s in analyzed]
    return sum(int(span.properties.get(name, 0)) for span, name in names) or None


def _read_new(
    pipeline: beam.Pipeline,
    read: Callable[[File], Iterator[pa.RecordBatch]],
    train: list[list[str]],
    window: analyzer_cache.Window,
    limit: int | None = None,
) -> dict[DatasetKey, beam.PCollection]:
    """Reads the record batches of the spans that are not cached, or of the first `limit` of these spans."""
    uncached = [
        (key, files) for key, files in zip(window.cached, train, strict=True) if key not in window.complete
    ]
    return {
        key: pipeline
        | f"ListTrain/{span}" >> beam.Create(list(itertools.starmap(File, enumerate(files))))
        | f"ReadTrain/{span}" >> beam.FlatMap(read)
        for span, (key, files) in enumerate(uncached[:limit])
    }


def _write_batch(batch_and_unary: tuple[pa.RecordBatch, dict[str, pa.Array]], folder: str) -> None:
    """Writes a transformed batch to an Arrow file. The names sort in the order of the split."""
    batch, _ = batch_and_unary
    first = batch.column(batch.schema.get_field_index(POSITION)).flatten()[0].as_py()
    ragged.write(Path(folder) / f"{first:020d}.arrow", batch)


def _resegment(parameters: Parameters, text: TextFile, transform_graph: Path, folder: Path) -> None:
    """Adds further tokenizations of the training examples to their folder."""
    sides = {"source_ids": text.source, "target_ids": text.target}
    splits = {name: _splits(transform_graph, side) for name, side in sides.items()}
    max_lengths = {"source_ids": parameters.source_max_length, "target_ids": parameters.target_max_length}
    resegment.write(folder, parameters.subword_samples, parameters.subword_dropout, splits, max_lengths)


def _splits(transform_graph: Path, side: SideFiles) -> resegment.Splits:
    """Returns the pairs of subwords that each subword of a side can be split into."""
    merges = transform_graph / side.merges
    if side.segmentation.model == "unigram":
        return resegment.Splits.of_pieces(transform_graph / side.vocabulary, merges)
    return resegment.Splits.read(merges, side.size)


def _warn(
    parameters: Parameters,
    context: Context,
    text: TextFile,
    graph: artifacts.TransformGraph,
    examples: artifacts.TransformedExamples,
) -> None:
    """Prints a warning if the vocabulary is too large for the data, or has no match of the pattern."""
    size, pairs = max(text.source.size, text.target.size), int(examples.properties["train_examples"])
    if warning := fitting.vocabulary_warning(parameters, size, pairs):
        context.say(f"warning: {warning}")
    files = (graph.path / side.vocabulary for side in (text.source, text.target))
    if warning := no_match(parameters.whole_token_pattern, files):
        context.say(f"warning: {warning}")
