"""Runs ExampleGen on files, for tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import msgspec
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tfx_bsl.coders import example_coder

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import SPLITS, Parameters, PartParameters, executor
from bitext.components.shared import tfrecord


class Result:
    """Runs ExampleGen, and holds its outputs and the printed lines.

    Args:
      root: the folder of the run.
      golden: the golden set.
      outputs: the folder of the outputs; None: `root`.
      beam_pipeline: creates the Beam pipeline; None: one in this process.
      parameters: the parameters of ExampleGen.
    """

    def __init__(
        self,
        root: Path,
        *,
        golden: artifacts.Examples | None = None,
        outputs: Path | None = None,
        beam_pipeline: Callable[[], beam.Pipeline] | None = None,
        **parameters,
    ):
        folders = {name: root / name for name in ("working", "temp", "examples", "rejects")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        folders |= {name: (outputs or root) / name for name in ("examples", "rejects")}
        self.lines: list[str] = []
        self.examples = artifacts.Examples(folders["examples"])
        self.rejects_artifact = artifacts.Rejects(folders["rejects"])
        context = Context(
            folders["working"],
            folders["temp"],
            beam_pipeline=beam_pipeline or (lambda: beam.Pipeline(runner=FnApiRunner())),
            say=self.lines.append,
            failure_dir=root / "failure",
        )
        executor.run(
            msgspec.convert(parameters, PartParameters if {"span", "corpus"} & {*parameters} else Parameters),
            context,
            golden=golden,
            examples=self.examples,
            rejects=self.rejects_artifact,
        )

    def rows(self, split: str) -> list[tuple[str, str, str]]:
        """Returns (id, source, target) of every example of a split, in the order of the files."""
        decoder = example_coder.ExamplesToRecordBatchDecoder(None)
        rows: list[tuple[str, str, str]] = []
        for path in sorted(self.examples.split(split).glob("data_tfrecord-*.gz")):
            for records in tfrecord.read_records(path):
                columns = decoder.DecodeBatch(records).to_pydict()
                features = ([v[0].decode() for v in columns[name]] for name in ("id", "source", "target"))
                rows += list(zip(*features, strict=True))
        return rows

    def all_rows(self) -> list[tuple[str, str, str]]:
        return [row for split in SPLITS for row in self.rows(split)]

    def rejects(self) -> list[dict]:
        with gzip.open(self.rejects_artifact.path / "rejects.jsonl.gz", "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def summary(self) -> dict:
        return json.loads((self.rejects_artifact.path / "summary.json").read_text())


def write(path: Path, lines: list[str]) -> str:
    """Writes lines and returns the path as text."""
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return str(path)
