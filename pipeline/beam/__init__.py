"""Beam's runners and options, jobs on other engines, and wrapped errors. No other package knows them."""

from __future__ import annotations

from bitext.pipeline.beam.engine import Engine
from bitext.pipeline.beam.failures import errors_unwrapped, raised_in_beam, reporting_engine_failure
from bitext.pipeline.beam.job import Watch
from bitext.pipeline.beam.job_records import JobRecords
from bitext.pipeline.beam.pipelines import LOCAL, job_name, pipeline_factory

__all__ = [
    "LOCAL",
    "Engine",
    "JobRecords",
    "Watch",
    "errors_unwrapped",
    "job_name",
    "pipeline_factory",
    "raised_in_beam",
    "reporting_engine_failure",
]
