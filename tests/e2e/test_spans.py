"""A pipeline that retrains by spans over several days: what runs, what is served, and rollback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import toy
from tests.e2e.toy import Done, bitext, status

pytestmark = pytest.mark.slow

ROWS = toy.sentences()
DAYS = {day: ROWS[day::5] for day in range(5)}


def arrive(folder: Path, day: int, rows: list[toy.Pair] | None = None, version: int = 1) -> None:
    (folder / "data").mkdir(exist_ok=True)
    toy.write_tsv(folder / "data" / f"day-{day}-v{version}.tsv", DAYS[day] if rows is None else rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two spans have arrived."""
    made = tmp_path_factory.mktemp("days")
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
    toy.write_config(made, config)
    toy.write_tsv(made / "golden.tsv", ROWS[1::40])
    (made / "requests.txt").write_text("".join(f"{source}\n" for source, _ in ROWS), encoding="utf-8")
    for day in (1, 2):
        arrive(made, day)
    return made


def run(folder: Path, *arguments: str) -> Done:
    return bitext(folder, "run", "toy.yaml", *arguments)


def read(done: Done) -> list[str]:
    """The names of the parts that ExampleGen read."""
    lines = done.out.splitlines()
    return [
        line.split(":")[0].strip() for line in lines if line.startswith("    span ") and " rows: " in line
    ]


def pushed(folder: Path) -> int:
    found: dict[str, Any] = status(folder)["pushed"]
    return int(found["version"])


def test_runs_over_several_days(folder: Path) -> None:
    first = run(folder)
    assert (first.code, read(first)) == (0, ["span 1 version 1", "span 2 version 1"]), first.err
    assert pushed(folder) == 1
    golden = {source for source, _ in ROWS[1::40]}
    summaries = [json.loads(p.read_text()) for p in folder.glob("runs/toy/ExampleGen/rejects/*/summary.json")]
    removed = sum(summary["golden_removed"] for summary in summaries)
    assert 0 < removed <= len(golden & {s for day in (1, 2) for s, _ in DAYS[day]})
    assert re.search(r"golden set: \d+ sentences", first.out)

    again = run(folder)
    assert (again.code, again.ran()) == (0, [])
    assert again.seconds < 8  # under two on a quiet machine

    arrive(folder, 3)
    third = run(folder, "--force-bless", "the fair is tomorrow")
    assert (third.code, read(third)) == (0, ["span 3 version 1"]), third.err
    assert "2 of 3 spans" in third.out  # TensorFlow Transform's cache
    assert "the fair is tomorrow" in third.out
    assert pushed(folder) == 2
    card = json.loads((folder / "serving" / "toy" / "2" / "assets.extra" / "model_card.json").read_text())
    assert "the fair is tomorrow" in json.dumps(card["blessings"])
    models = [json.loads(p.read_text())["steps"] for p in folder.glob("runs/toy/Trainer/model/*/model.json")]
    assert sorted(models) == [20, 40]


def test_a_withdrawn_model_is_not_pushed_again(folder: Path) -> None:
    done = bitext(folder, "rollback", "toy.yaml", "--reason", "users complain")
    assert (done.code, done.err) == (0, "")
    assert "toy version 3 is a copy of version 1" in done.out
    assert pushed(folder) == 3
    after = run(folder)
    assert (after.code, after.ran()) == (4, ["Pusher"])
    assert "withdrawn by a rollback (users complain)" in after.err
    assert pushed(folder) == 3
    assert run(folder).ran() == []
    told = bitext(folder, "lineage", "3", "toy.yaml", "--json")
    nodes = [execution["node"] for execution in json.loads(told.out)["executions"]]
    assert nodes[0] == "Rollback"
    assert {"Trainer", "Transform", "ExampleGen"} <= set(nodes)


def test_a_span_in_another_language_stops_the_run_until_its_second_version(folder: Path) -> None:
    many = [(f"{source} {i}", f"{target} {i}") for i in range(4) for source, target in ROWS]
    arrive(folder, 4, [(target, source) for source, target in many])
    stopped = run(folder)
    assert stopped.code == 3
    assert "span 4 version 1, split train against the previous blessed run" in stopped.err
    assert pushed(folder) == 3
    arrive(folder, 4, version=2)
    done = run(folder)
    assert done.code in (0, 4)
    assert read(done) == ["span 4 version 2"]
    newest = status(folder)["runs"][0]
    assert newest["spans"] == [f"span {day} version {version}" for day, version in ((2, 1), (3, 1), (4, 2))]


def test_lineage_names_the_files_and_gc_removes_old_outputs(folder: Path) -> None:
    done = bitext(folder, "lineage", str(pushed(folder)), "toy.yaml")
    assert done.code == 0
    assert "day-1-v1.tsv" in done.out
    assert "tensorflow " in done.out
    collected = bitext(folder, "gc", "toy.yaml", "--keep", "1")
    assert collected.code == 0
    assert "outputs stay" in collected.out
    after = run(folder)
    assert after.ran() == []
    assert not any((folder / "runs" / "toy" / name).exists() for name in (".staging", ".working"))
    text = (folder / "toy.prom").read_text(encoding="utf-8")
    assert f'bitext_pushed_version{{pipeline="toy"}} {pushed(folder)}' in text
