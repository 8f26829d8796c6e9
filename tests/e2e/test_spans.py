"""A pipeline that retrains on daily spans: executions, pushed versions, rollback, lineage, gc."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import toy
from tests.e2e.toy import Result, bitext, status

pytestmark = pytest.mark.slow

ROWS = toy.sentences()
DAYS = {day: ROWS[day::5] for day in range(5)}


def write_span(folder: Path, day: int, rows: list[toy.Pair] | None = None, version: int = 1) -> None:
    """Writes the file of one day: these rows, or those of `DAYS`."""
    (folder / "data").mkdir(exist_ok=True)
    toy.write_tsv(folder / "data" / f"day-{day}-v{version}.tsv", DAYS[day] if rows is None else rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and two spans."""
    folder = tmp_path_factory.mktemp("days")
    config = toy.config(
        example_gen={
            "files": ["data/day-{SPAN}-v{VERSION}.tsv"],
            "window": {"newest": 3},
            "golden": {"files": ["golden.tsv"]},
        },
        trainer={"warm_start": {"model": "last_blessed", "steps": 20}},
        metrics={"textfile": "toy.prom"},
    )
    config["request_log"] = {"files": ["requests.txt"]}
    toy.write_config(folder, config)
    toy.write_tsv(folder / "golden.tsv", ROWS[1::40])
    (folder / "requests.txt").write_text("".join(f"{source}\n" for source, _ in ROWS), encoding="utf-8")
    for day in (1, 2):
        write_span(folder, day)
    return folder


def run(folder: Path, *arguments: str) -> Result:
    return bitext(folder, "run", "toy.yaml", *arguments)


def spans_read(result: Result) -> list[str]:
    """Returns the spans that ExampleGen read."""
    lines = result.out.splitlines()
    return [
        line.split(":")[0].strip() for line in lines if line.startswith("    span ") and " rows: " in line
    ]


def pushed_version(folder: Path) -> int:
    pushed: dict[str, Any] = status(folder)["pushed"]
    return int(pushed["version"])


def test_new_spans_are_read_once_and_models_are_pushed(folder: Path) -> None:
    first = run(folder)
    assert (first.code, spans_read(first)) == (0, ["span 1 version 1", "span 2 version 1"]), first.err
    assert pushed_version(folder) == 1
    golden = {source for source, _ in ROWS[1::40]}
    summaries = [json.loads(p.read_text()) for p in folder.glob("runs/toy/ExampleGen/rejects/*/summary.json")]
    removed = sum(summary["golden_removed"] for summary in summaries)
    assert 0 < removed <= len(golden & {s for day in (1, 2) for s, _ in DAYS[day]})
    assert re.search(r"golden set: \d+ sentences", first.out)

    again = run(folder)
    assert (again.code, again.ran()) == (0, [])
    assert again.seconds < 8  # less than 2 s on an idle machine

    write_span(folder, 3)
    third = run(folder, "--force-bless", "a demonstration")
    assert (third.code, spans_read(third)) == (0, ["span 3 version 1"]), third.err
    assert "2 of 3 spans" in third.out  # taken from the analyzer cache
    assert "a demonstration" in third.out
    assert pushed_version(folder) == 2
    card = json.loads((folder / "serving" / "toy" / "2" / "assets.extra" / "model_card.json").read_text())
    assert "a demonstration" in json.dumps(card["blessings"])
    steps = [json.loads(p.read_text())["steps"] for p in folder.glob("runs/toy/Trainer/model/*/model.json")]
    assert sorted(steps) == [20, 40]


def test_a_rolled_back_model_is_not_pushed_again(folder: Path) -> None:
    result = bitext(folder, "rollback", "toy.yaml", "--reason", "users complain")
    assert (result.code, result.err) == (0, "")
    assert "toy version 3 is a copy of version 1" in result.out
    assert pushed_version(folder) == 3
    after = run(folder)
    assert (after.code, after.ran()) == (4, ["Pusher"])
    assert "withdrawn by a rollback (users complain)" in after.err
    assert pushed_version(folder) == 3
    assert run(folder).ran() == []
    lineage = bitext(folder, "lineage", "3", "toy.yaml", "--json")
    nodes = [execution["node"] for execution in json.loads(lineage.out)["executions"]]
    assert nodes[0] == "Rollback"
    assert {"Trainer", "Transform", "ExampleGen"} <= set(nodes)


def test_a_span_in_another_language_is_refused_and_its_second_version_is_used(folder: Path) -> None:
    pairs = [(f"{source} {i}", f"{target} {i}") for i in range(4) for source, target in ROWS]
    write_span(folder, 4, [(target, source) for source, target in pairs])
    stopped = run(folder)
    assert stopped.code == 3
    assert "span 4 version 1, split train against the previous blessed run" in stopped.err
    assert pushed_version(folder) == 3
    write_span(folder, 4, version=2)
    result = run(folder)
    assert result.code in (0, 4)
    assert spans_read(result) == ["span 4 version 2"]
    newest = status(folder)["runs"][0]
    assert newest["spans"] == [f"span {day} version {version}" for day, version in ((2, 1), (3, 1), (4, 2))]


def test_lineage_names_files_and_gc_deletes_old_outputs(folder: Path) -> None:
    result = bitext(folder, "lineage", str(pushed_version(folder)), "toy.yaml")
    assert result.code == 0
    assert "day-1-v1.tsv" in result.out
    assert "tensorflow " in result.out
    collected = bitext(folder, "gc", "toy.yaml", "--keep", "1")
    assert collected.code == 0
    assert "outputs that stay" in collected.out
    after = run(folder)
    assert after.ran() == []
    assert not any((folder / "runs" / "toy" / name).exists() for name in (".staging", ".working"))
    text = (folder / "toy.prom").read_text(encoding="utf-8")
    assert f'bitext_pushed_version{{pipeline="toy"}} {pushed_version(folder)}' in text
