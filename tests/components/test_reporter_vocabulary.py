"""The section "Vocabulary": its labels name what was measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from bitext.components.artifacts import TransformedExamples, TransformGraph
from bitext.components.artifacts.examples import Bucket
from bitext.components.artifacts.page import Block, Chart, Details, Facts, Section, Table
from bitext.components.artifacts.transform_graph import SideFiles, TextFile, TextSettings
from bitext.components.reporter import vocabulary
from bitext.components.shared import tfrecord
from bitext.components.text import BOS_ID, EOS_ID, SPECIALS

TRAIN = [("▁the", "▁cat"), ("▁the", "▁dog"), ("▁a", "▁dog"), ("▁the", "▁girlfriend")]
EVAL = [("▁the", "▁girlfriend"), ("▁a", "▁fox")]
PIECES = [*SPECIALS, "▁the", "▁a", "▁cat", "▁dog", "▁girlfriend", "▁fox", "▁unused"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[TransformGraph, TransformedExamples]:
    folder = tmp_path_factory.mktemp("vocabulary")
    graph, examples = TransformGraph(folder / "graph"), TransformedExamples(folder / "examples")
    graph.path.mkdir()
    (graph.path / "pieces.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (graph.path / "merges.txt").write_text("")
    side = SideFiles(vocabulary="pieces.txt", merges="merges.txt", size=len(PIECES))
    graph.write_text(
        TextFile(settings=TextSettings(), shared=True, source_max_length=9, source=side, target=side)
    )
    for split, rows in (("train", TRAIN), ("eval", EVAL)):
        ids = [[PIECES.index(piece) for piece in row] for row in rows]
        file = examples.bucket_file(split, (3, 4), 0, 1)
        file.parent.mkdir(parents=True)
        columns: dict[str, pa.Array | npt.NDArray[np.int64]] = {
            "source_ids": np.array([[*row, EOS_ID] for row in ids]),
            "target_ids": np.array([[BOS_ID, *row, EOS_ID] for row in ids]),
        }
        tfrecord.write_examples(file, columns)
        bucket = Bucket(source=3, target=4, examples=len(rows), target_tokens=9, files=[file.name])
        examples.write_buckets(split, [bucket])
    return graph, examples


def labels(blocks: tuple[Block, ...]) -> Iterator[str]:
    """Yields titles, labels, notes and headings, without what stands in cells except the first of a row."""
    for block in blocks:
        if isinstance(block, Facts):
            yield from (f"{fact.label} {fact.note}" for fact in block.facts)
        elif isinstance(block, Table):
            yield from (block.title, block.note, *(column.title for column in block.columns))
            yield from (str(row[0]) for row in block.rows)
        elif isinstance(block, Chart):
            yield from (block.title, block.alternative, *(series.name for series in block.series))
        elif isinstance(block, Details):
            yield block.summary
            yield from labels(block.blocks)


def tables(section: Section) -> dict[str, Table]:
    return {block.title: block for block in section.blocks if isinstance(block, Table)}


def test_all_of_train_is_counted(inputs: tuple[TransformGraph, TransformedExamples]) -> None:
    section = vocabulary.section(*inputs)
    assert section.summary == "Measured on the sentences that the model reads: train 4, eval 2."
    [facts] = [block for block in section.blocks if isinstance(block, Facts)]
    assert {fact.label: fact.value for fact in facts.facts}["tokens never used in train"] == "2"
    coverage = tables(section)["Coverage of the splits"]
    assert coverage.columns[-1].title == "words not in train"
    assert [row[-1] for row in coverage.rows] == [None, 0.25, None, 0.25]
    assert "measured" not in " ".join(labels(section.blocks))


def test_every_label_of_a_part_names_the_part(
    inputs: tuple[TransformGraph, TransformedExamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "MEASURED_ROWS", 3)
    section = vocabulary.section(*inputs)
    assert section.summary == "Measured on the sentences that the model reads: train 3 of 4, eval 2."
    found = list(labels(section.blocks))
    assert [text for text in found if "train" in text.replace("3 measured train sentences", "")] == []
    assert any(text.startswith("tokens not used in the 3 measured train sentences") for text in found)
    assert "words not in the 3 measured train sentences" in found
    assert "never" not in " ".join(found)
    assert tables(section)["Coverage of the splits"].rows[1][-1] == 0.5
    assert tables(section)["The longest tokens"].rows[0][2] == 0
