"""Learns the vocabularies from the counts of all spans, and writes the transform graph.

This runs TensorFlow Transform's analysis in the calling process, whatever the engine: it reads no example,
and its work does not depend on the number of spans.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.beam.analyzer_cache import DatasetCache, DatasetKey
from tfx_bsl.tfxio import tensor_adapter

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared.files import path_without_globs
from bitext.components.transform import Parameters, analyzer_cache
from bitext.components.transform.batches import tensor_adapter_config
from bitext.components.transform.given_sides import GivenSides
from bitext.components.transform.preprocessing import analysis_fn, preprocessing_fn

_ALL_SPANS = DatasetKey("all-spans")


def window(
    parameters: Parameters,
    given: GivenSides,
    schema: schema_pb2.Schema,
    train_folders: Sequence[Path],
    old: artifacts.TransformCache | None,
    cache: artifacts.TransformCache,
) -> analyzer_cache.Window:
    """Returns the spans to analyze; copies their counts from an old cache to the new one."""
    analyzers = tft_beam.analysis_graph_builder.get_analysis_cache_entry_keys(
        functools.partial(analysis_fn, parameters=parameters, given=given),
        tensor_adapter.TensorAdapter(tensor_adapter_config(schema)).OriginalTypeSpecs(),
        [_ALL_SPANS],
        force_tf_compat_v1=False,
    )
    keys = analyzer_cache.dataset_keys(train_folders, parameters.augmentation)
    return analyzer_cache.Window.carried_over(cache, keys, old, analyzers)


def write_graph(
    parameters: Parameters,
    given: GivenSides,
    schema: schema_pb2.Schema,
    context: Context,
    counts: analyzer_cache.Window,
    folder: Path,
) -> None:
    """Learns the vocabularies and writes the transform graph to a local folder.

    Args:
      parameters: Transform's parameters.
      given: the vocabularies that are not learned.
      schema: the schema of the features.
      context: the run.
      counts: the spans. Their counts are all in its cache. TFT gets their sum, as the counts of one span.
      folder: an empty folder.
    """
    preprocess = functools.partial(preprocessing_fn, parameters=parameters, given=given)
    with (
        _tft_folder(context) as temp_dir,
        (context.local_pipeline or context.beam_pipeline)() as pipeline,
        tft_beam.Context(temp_dir=str(temp_dir)),
    ):
        cached = {
            analyzer: pipeline
            | f"ListCached/{number}" >> beam.Create([analyzer])
            | f"SumCached/{number}" >> beam.Map(counts.total)
            for number, analyzer in enumerate(counts.analyzers)
        }
        cache = {_ALL_SPANS: DatasetCache(cached, None)}
        analyze = tft_beam.AnalyzeDatasetWithCache(preprocess, pipeline)
        transform_fn, _ = ({_ALL_SPANS: None}, cache, tensor_adapter_config(schema)) | "Analyze" >> analyze
        _ = transform_fn | "WriteTransformFn" >> tft_beam.WriteTransformFn(str(folder))


def _tft_folder(context: Context) -> contextlib.AbstractContextManager[Path]:
    """Context manager: yields a folder without glob characters for TensorFlow Transform's temporary files."""
    folder = context.temp_dir / "tft"
    folder.mkdir(exist_ok=True)
    return path_without_globs(folder)
