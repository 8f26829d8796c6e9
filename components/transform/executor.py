"""Learns the vocabularies, turns the text of all splits into token ids, and writes them in length buckets.

Two Beam pipelines read examples: `counting` counts the pretokens of new spans, `writing` does all the rest.
Between them, this process learns the vocabularies from the counts (`analysis`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tensorflow_metadata.proto.v0 import schema_pb2

from bitext.components import artifacts
from bitext.components.artifacts import SideFiles, TextFile
from bitext.components.component import Context
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.shared.folder_bytes import zipped
from bitext.components.shared.parts import count_parts
from bitext.components.transform import (
    Parameters,
    WeightedParameters,
    analysis,
    analyzer_cache,
    counting,
    fitting,
    reports,
    resegment,
    selection,
    vocabulary,
    writing,
)
from bitext.components.transform.applying import TransformFunction
from bitext.components.transform.batches import File, release_graphs
from bitext.components.transform.given_sides import GivenSides, text_file, text_settings
from bitext.components.transform.pattern import check_pattern, no_match
from bitext.components.transform.plan import TRAIN
from bitext.components.transform.preprocessing import FEATURES, prefixes
from bitext.components.transform.selection import Copies

Files = list[list[Path]]
"""The files of a split, by span."""


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
    learned = _learned(examples)
    parameters, given = _resolve(parameters, context, learned)
    feature_schema = _feature_schema(schema)
    folders = [span.split(TRAIN) for span in learned]
    window = analysis.window(
        parameters, given, feature_schema, folders, previous_cache, updated_analyzer_cache
    )
    _report_cached(context, learned, window)
    chosen = selection.choose(parameters, examples, rejects, context.say)
    copies = chosen.copies if chosen is not None else {}
    transformed_examples.properties.update(chosen.synthetic_pairs() if chosen is not None else {})
    with context.progress("rows", _rows_to_read(examples, learned, window)):
        _count(parameters, given, context, learned, window, feature_schema)
        analysis.write_graph(parameters, given, feature_schema, context, window, transform_graph.path)
        transform_graph.write_feature_schema(feature_schema)
        text = text_file(parameters, transform_graph, given)
        transform_graph.write_text(text)
        function = _function(parameters, text, transform_graph)
        _write(parameters, context, splits, copies, feature_schema, function, transformed_examples)
    transform_graph.properties.update(
        unit=parameters.unit, source_vocabulary=text.source.size, target_vocabulary=text.target.size
    )
    lengths, written = writing.result(transformed_examples)
    reports.finish(parameters, context, lengths, written, transformed_examples)
    _warn(parameters, context, text, transform_graph, transformed_examples)


def _learned(examples: Sequence[artifacts.Examples]) -> list[artifacts.Examples]:
    """The spans from which the vocabularies are learned: those with text that is in no other.

    The translations of training sentences are left out: the words of a poor teacher are no words.
    """
    repeated = (artifacts.PairOrigin.FORWARD, artifacts.PairOrigin.BACKWARD)
    return [span for span in examples if span.properties.get(artifacts.ORIGIN_PROPERTY) not in repeated]


def _counted_side(span: artifacts.Examples) -> str:
    """The only side of a span whose words are counted; empty: both are. A synthetic side is not."""
    origin = span.properties.get(artifacts.ORIGIN_PROPERTY)
    return "" if origin is None else artifacts.PairOrigin(str(origin)).given_side


def _resolve(
    parameters: WeightedParameters, context: Context, learned: Sequence[artifacts.Examples]
) -> tuple[WeightedParameters, GivenSides]:
    """Returns the parameters with a number for `vocabulary_size: auto`, and the given vocabularies.

    Raises:
      ConfigError: the pattern of whole tokens is no regular expression, or a given vocabulary changes a whole
        token.
      DataError: a vocabulary file cannot be read, or bitext cannot apply it.
    """
    check_pattern(parameters.whole_token_pattern)
    parameters, line = fitting.with_vocabulary_size(parameters, lambda: _pairs(learned))
    given = GivenSides.read(parameters)
    given.check_whole_tokens(text_settings(parameters))
    is_learned = given.source is None or given.target is None
    for note in (*filter(None, [line if is_learned else ""]), *given.notes(parameters)):
        context.say(note)
    return parameters, given


def _pairs(examples: Sequence[artifacts.Examples]) -> int:
    """Number of training pairs: what the examples tell, or what their files have."""
    if all(TRAIN in span.properties for span in examples):
        return sum(int(span.properties[TRAIN]) for span in examples)
    files = itertools.chain.from_iterable(span.files(TRAIN) for span in examples)
    return sum(len(records) for file in files for records in tfrecord.read_records(file, 10_000))


def _files(examples: Sequence[artifacts.Examples], split: str) -> Files:
    """Returns the split's TFRecord files: a list for each span, in order.

    Raises:
      DataError: the split has no example in any span, or a file is damaged.
    """
    spans = [span.files(split) for span in examples]
    if not any(_has_record(file) for files in spans for file in files):
        after = count_parts([artifacts.span_label(part) for part in examples[1:]])
        others = f" or in the {after} after it" if len(spans) > 1 else ""
        raise DataError(
            f"{examples[0].split(split)}: the split has no examples here{others}",
            "give more data, or a larger share to this split",
        )
    return spans


def _has_record(file: Path) -> bool:
    """Whether a TFRecord file has a record."""
    return next(tfrecord.read_records(file, 1), None) is not None


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


def _count(
    parameters: Parameters,
    given: GivenSides,
    context: Context,
    learned: Sequence[artifacts.Examples],
    window: analyzer_cache.Window,
    schema: schema_pb2.Schema,
) -> None:
    """Counts the spans that are not cached, into the window's cache."""
    spans = {
        key: [
            File(number, path, counted_side=_counted_side(span))
            for number, path in enumerate(span.files(TRAIN))
        ]
        for key, span in zip(window.keys, learned, strict=True)
        if key not in window.complete
    }
    if not spans:
        return
    analyzers = {prefix: vocabulary.analyzer_of(prefix, window.analyzers) for prefix in prefixes(parameters)}
    with context.beam_pipeline() as pipeline:
        counting.build(pipeline, spans, parameters, given, schema, analyzers, window.cache)
    release_graphs()


def _write(
    parameters: Parameters,
    context: Context,
    splits: dict[str, Files],
    copies: dict[str, Copies],
    schema: schema_pb2.Schema,
    function: TransformFunction,
    output: artifacts.TransformedExamples,
) -> None:
    """Writes the token ids of all splits."""
    files = {
        split: [
            File.with_copies(number, path, copies.get(str(path)))
            for number, path in enumerate(itertools.chain.from_iterable(spans))
        ]
        for split, spans in splits.items()
    }
    with context.beam_pipeline() as pipeline:
        writing.build(pipeline, files, function, parameters, schema, output, context.spill_dir)
    release_graphs()


def _report_cached(
    context: Context, examples: Sequence[artifacts.Examples], window: analyzer_cache.Window
) -> None:
    """Prints how many spans need no analysis, if there are several spans or one needs none."""
    if len(examples) > 1 or window.complete:
        every_part = count_parts([artifacts.span_label(part) for part in examples])
        context.say(f"analysis of {len(window.complete)} of {every_part} taken from the cache")


def _rows_to_read(
    examples: Sequence[artifacts.Examples],
    learned: Sequence[artifacts.Examples],
    window: analyzer_cache.Window,
) -> int | None:
    """Number of rows that are read: those of all splits, and again those of train that are not cached.

    None: older examples do not tell their number.
    """
    analyzed = [span for span, key in zip(learned, window.keys, strict=True) if key not in window.complete]
    names = [(span, name) for span in examples for name in span.splits()] + [(s, TRAIN) for s in analyzed]
    return sum(int(span.properties.get(name, 0)) for span, name in names) or None


def _function(parameters: Parameters, text: TextFile, graph: artifacts.TransformGraph) -> TransformFunction:
    """Returns what the workers need of the transform graph."""
    dtype = "uint16" if max(text.source.size, text.target.size) <= 1 << 16 else "int32"
    splits = None
    if parameters.subword_samples > 1:
        sides = {"source": text.source, "target": text.target}
        splits = {name: _splits(graph.path, side) for name, side in sides.items()}
    return TransformFunction(zipped(graph.graph), dtype, splits)


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
