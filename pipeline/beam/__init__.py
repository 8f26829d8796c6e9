"""Beam's runners and options, and wrapped errors. No other package knows them."""

from __future__ import annotations

from bitext.pipeline.beam.failures import errors_unwrapped, raised_in_beam, reporting_engine_failure
from bitext.pipeline.beam.pipelines import LOCAL, engine_name, pipeline_factory

__all__ = [
    "LOCAL",
    "engine_name",
    "errors_unwrapped",
    "pipeline_factory",
    "raised_in_beam",
    "reporting_engine_failure",
]
