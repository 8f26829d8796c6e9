"""The whole line on a made corpus: raw bitext in, a blessed SavedModel out, and what a second run does."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from bitext.components.artifacts import ServedVersion, kind_named
from bitext.components.infra_validator import standalone
from tests.e2e import toy
from tests.e2e.conftest import Finished
from tests.e2e.toy import NODES, bitext, output, status

SPLITS = ("train", "eval", "test")


def examples(folder: Path, split: str) -> list[dict[str, str]]:
    """The examples ExampleGen wrote for a split."""
    import tensorflow as tf

    files = sorted(output(folder, "ExampleGen", "examples").glob(f"Split-{split}/*.gz"))
    found = []
    for record in tf.data.TFRecordDataset([str(f) for f in files], "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        found.append(
            {name: features[name].bytes_list.value[0].decode() for name in ("id", "source", "target")}
        )
    return found


def test_every_node_runs_in_order_and_the_end_says_all(finished: Finished) -> None:
    done = finished.done
    assert (done.code, done.err) == (0, ""), done.out
    assert done.ran() == list(NODES)
    version = finished.folder / "serving" / "toy" / "1"
    assert re.search(r"^BLEU \d+\.\d\d .*nrefs:.*tok:13a.*version:", done.out, re.MULTILINE)
    assert done.out.count("    source      ") == 10
    assert f"SavedModel  {version}\n" in done.out
    assert "translate --model serving/toy\n" in done.out
    assert (version / "saved_model.pb").is_file()


def test_the_screen_shows_nothing_of_libraries(finished: Finished) -> None:
    assert not re.search(r"warning|deprecat|tensorflow/|absl|I0000|\bWARN", finished.done.out, re.IGNORECASE)


def test_a_second_run_takes_everything_from_the_cache_within_seconds(finished: Finished) -> None:
    done = bitext(finished.folder, "run", "toy.yaml")
    assert (done.code, done.err, done.ran()) == (0, "", [])
    assert done.cached() == list(NODES)
    assert done.seconds < 5  # under one on a quiet machine


def test_status_is_one_object_of_the_documented_shape(finished: Finished) -> None:
    found = status(finished.folder)
    assert set(found) == {"runs", "pushed"}
    assert set(found["pushed"]) == {"model", "version", "path", "digest"}
    assert (found["pushed"]["model"], found["pushed"]["version"]) == ("toy", 1)
    assert found["pushed"]["path"] == str(finished.folder / "serving" / "toy" / "1")
    first = found["runs"][-1]
    assert set(first) == {
        *("id", "state", "started", "seconds", "spans", "nodes", "scores", "bleu", "bleu_signature"),
        *("blessed", "reasons", "error"),
    }
    assert set(first["scores"]) == {"bleu", "chrf", "ter"}
    judged = (first["state"], first["blessed"], first["reasons"], first["error"])
    assert judged == ("COMPLETE", True, [], None)
    assert "tok:13a" in first["bleu_signature"]
    assert list(first["nodes"]) == list(NODES)
    for node in first["nodes"].values():
        assert set(node) == {"state", "seconds", "cached", "outputs"}
        assert node["outputs"]
        assert all(Path(folder).is_dir() for folder in node["outputs"].values())
        assert (node["state"], node["cached"]) == ("COMPLETE", False)
    assert 0 < sum(node["seconds"] for node in first["nodes"].values()) <= first["seconds"]
    assert 0 <= first["bleu"] <= 100


def test_every_line_became_an_example_a_duplicate_or_a_reject(finished: Finished) -> None:
    artifact = output(finished.folder, "ExampleGen", "rejects")
    with gzip.open(artifact / "rejects.jsonl.gz", "rt", encoding="utf-8") as file:
        rejects = {reject["line"]: reject["reason"] for reject in map(json.loads, file)}
    assert sorted(rejects) == [51, 52, 53, 54]
    found = [example for split in SPLITS for example in examples(finished.folder, split)]
    kept = {int(example["id"].removeprefix("toy.tsv:")): example for example in found}
    assert len(kept) == len(found)
    seen: set[str] = set()
    duplicates = 0
    for number, line in enumerate(finished.lines, 1):
        if number in rejects:
            assert number not in kept
        elif line in seen:
            duplicates += 1
            assert number not in kept
        else:
            assert f"{kept[number]['source']}\t{kept[number]['target']}" == line
        seen.add(line)
    summary = json.loads((artifact / "summary.json").read_text(encoding="utf-8"))
    counted = (summary["rows"], summary["accepted"], summary["duplicates"], summary["rejected"])
    assert counted == (len(finished.lines), len(kept), duplicates, len(rejects))
    assert duplicates > 0


def test_all_translations_of_a_source_are_in_one_split(finished: Finished) -> None:
    splits = defaultdict(set)
    targets = defaultdict(set)
    for split in SPLITS:
        for example in examples(finished.folder, split):
            splits[example["source"]].add(split)
            targets[example["source"]].add(example["target"])
    assert sum(len(of_one) > 1 for of_one in targets.values()) > 10
    assert all(len(of_one) == 1 for of_one in splits.values())
    rows = (output(finished.folder, "Evaluator", "evaluation") / "translations.jsonl").read_text(
        encoding="utf-8"
    )
    for row in map(json.loads, rows.splitlines()):
        assert set(row["references"]) == targets[row["source"]]


def test_training_saw_the_ids_that_serving_makes(finished: Finished) -> None:
    import tensorflow as tf

    model = tf.saved_model.load(str(finished.folder / "serving" / "toy" / "1"))
    split = output(finished.folder, "Transform", "transformed_examples") / "Split-eval"
    sources = {example["id"]: example["source"] for example in examples(finished.folder, "eval")}
    compared = 0
    for bucket in json.loads((split / "buckets.json").read_text(encoding="utf-8")):
        spec = {
            "id": tf.io.FixedLenFeature([], tf.string),
            "source_ids": tf.io.FixedLenFeature([bucket["source"]], tf.int64),
            "source_length": tf.io.FixedLenFeature([], tf.int64),
        }
        for record in tf.data.TFRecordDataset([str(split / name) for name in bucket["files"]], "GZIP"):
            example = tf.io.parse_single_example(record, spec)
            trained = example["source_ids"].numpy()[: int(example["source_length"])].tolist()
            source = sources[example["id"].numpy().decode()]
            served = model.signatures["tokenize"](text=tf.constant([source]))
            assert served["tokens"].numpy()[0, : int(served["length"][0])].tolist() == trained
            compared += 1
    assert compared == len(sources) > 0


PLAIN = """
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
text = tf.constant(["The cat sees the river.", "A child buys some bread today."])
found = model.signatures["serving_default"](text=text)
assert found["text"].shape == (2,) and found["score"].dtype == tf.float32
assert not {"components", "tensorflow_text", "tensorflow_transform"} & set(sys.modules)
print("served")
"""


def test_the_pushed_model_needs_nothing_but_tensorflow(finished: Finished, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, str(finished.folder / "serving" / "toy" / "1")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr


def test_the_pushed_model_says_what_it_is(finished: Finished) -> None:
    version, root = finished.folder / "serving" / "toy" / "1", finished.folder / "runs" / "toy"
    made = json.loads((version / ServedVersion.CARD_JSON).read_text(encoding="utf-8"))
    run, evaluation = status(finished.folder)["runs"][-1], output(finished.folder, "Evaluator", "evaluation")
    assert (made["model"], made["version"], made["run_id"]) == ("toy", 1, run["id"])
    assert made["digest"] == json.loads((version / "assets.extra" / "bitext.json").read_text())["digest"]
    metrics = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    assert (made["scores"]["bleu"], made["scores"]["chrf"]) == (metrics["bleu"], metrics["chrf"])
    assert (made["scores"]["bleu"]["score"], run["bleu_signature"]) == (
        *(run["bleu"], made["scores"]["bleu"]["signature"]),
    )
    assert sum(made["data"]["splits"].values()) == sum(len(examples(finished.folder, s)) for s in SPLITS)
    assert made["settings"]["steps"] == 40
    assert made["text"]["source"]["size"] == 400
    assert set(made["software"]) == {"python", "tensorflow"}
    assert len(made["lineage"]) == 9
    assert [len(made["lineage"][name]) for name in ("examples", "rejects")] == [1, 1]
    origins = [[given] if isinstance(given, dict) else given for given in made["lineage"].values()]
    for origin in itertools.chain.from_iterable(origins):
        node, key, _ = origin["artifact"].split("/")
        assert root / origin["artifact"] == output(finished.folder, node, key)
        assert origin["digest"] == kind_named(origin["type"])(root / origin["artifact"]).content_digest()
    text = (version / ServedVersion.CARD_MARKDOWN).read_text(encoding="utf-8")
    assert text.startswith("# toy, version 1\n")
    assert f"`{run['bleu_signature']}`" in text
    assert "None was stated." in text


def test_a_licence_stated_later_is_on_the_card_of_the_same_version(copy: Path) -> None:
    before = toy.contents(copy / "serving")
    done = bitext(copy, "run", "toy.yaml", "--set", "pusher.card.licence=CC0")
    assert (done.code, done.ran()) == (0, ["Pusher"])
    after = toy.contents(copy / "serving")
    assert {name for name in after if after[name] != before.get(name)} == {
        *(f"toy/1/{ServedVersion.CARD_JSON}", f"toy/1/{ServedVersion.CARD_MARKDOWN}")
    }
    assert "> CC0\n" in after[f"toy/1/{ServedVersion.CARD_MARKDOWN}"].decode()
    assert set(after) == set(before)


def test_a_server_warms_up_with_held_out_sentences(finished: Finished) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    version = finished.folder / "serving" / "toy" / "1"
    records = list(tf.data.TFRecordDataset(str(version / standalone.WARM_UP_FILE)).as_numpy_iterator())
    requests = [prediction_log_pb2.PredictionLog.FromString(r).predict_log.request for r in records]
    assert {"serving_default", "decode_step"} < {request.model_spec.signature_name for request in requests}
    held_out = {example["source"].encode() for example in examples(finished.folder, "eval")}
    texts = [tf.make_ndarray(r.inputs["text"]) for r in requests if "text" in r.inputs]
    assert held_out.issuperset(set().union(*texts))
    model = tf.saved_model.load(str(version))
    assert standalone.check_warm_up(str(version), model.signatures) == []


def test_translate_answers_line_by_line_in_order(finished: Finished) -> None:
    lines = ["The cat sees the river.", "", "A child.", "The doctor wants two apples every day.", "x"]
    together = bitext(finished.folder, "translate", "--model", "serving/toy", stdin="\n".join(lines))
    assert (together.code, together.err) == (0, "")
    answers = together.out.split("\n")
    assert len(answers) == len(lines) + 1
    assert (answers[1], answers[-1]) == ("", "")
    backwards = bitext(
        finished.folder, "translate", "--model", "serving/toy", stdin="\n".join(reversed(lines)) + "\n"
    )
    assert backwards.out.split("\n")[:-1] == answers[-2::-1]


def test_a_refused_model_is_not_pushed_and_the_pushed_one_stays(copy: Path) -> None:
    served = toy.contents(copy / "serving")
    done = bitext(copy, "run", "toy.yaml", "--set", "evaluator.min_bleu=100")
    assert done.code == 4
    assert done.ran() == ["Evaluator", "Pusher"]  # and nothing before: only they depend on it
    assert re.match(
        r"error: the model was not blessed: BLEU .* is below the threshold min_bleu 100", done.err
    )
    assert "Nothing was pushed." in done.err
    blessing = output(copy, "Evaluator", "blessing")
    assert [path.name for path in blessing.iterdir()] == ["NOT_BLESSED"]
    reasons = json.loads((blessing / "NOT_BLESSED").read_text(encoding="utf-8"))["reasons"]
    assert "min_bleu 100" in reasons[0]
    assert status(copy)["runs"][0]["reasons"] == reasons
    assert toy.contents(copy / "serving") == served
    assert status(copy)["pushed"]["version"] == 1
    again = bitext(copy, "run", "toy.yaml", "--set", "evaluator.min_bleu=100")
    assert (again.code, again.ran()) == (4, [])


def test_a_changed_line_and_a_killed_training(copy: Path) -> None:
    """One line of the data changes, the training that follows is killed, and the next run goes on with it."""
    lines = (copy / "toy.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    lines[7] = "The lion sees a red house today.\tEl león ve una casa roja hoy.\n"
    (copy / "toy.tsv").write_text("".join(lines), encoding="utf-8")
    arguments = ("run", "toy.yaml", "--set", "trainer.steps=120")
    killed = _kill_training(copy, arguments)
    assert [line for line in killed.splitlines() if line in NODES] == list(NODES[:6])
    assert list((copy / "runs" / "toy" / "Trainer" / "model").iterdir()) != []
    before = output(copy, "Trainer", "model")
    done = bitext(copy, *arguments)
    assert (done.code, done.err) == (0, "")
    assert (done.cached(), done.ran()) == (list(NODES[:5]), list(NODES[5:]))
    resumed = re.search(r"resumed at step (\d+) of 120", done.out)
    assert resumed is not None
    assert 0 < int(resumed[1]) < 120
    assert output(copy, "Trainer", "model") != before
    found = status(copy)
    assert [run["state"] for run in found["runs"][:2]] == ["COMPLETE", "CANCELED"]
    assert found["runs"][1]["nodes"]["Trainer"]["state"] == "CANCELED"
    assert found["pushed"]["version"] == 2
    history = output(copy, "Trainer", "model_run") / "history.jsonl"
    steps = [json.loads(line)["step"] for line in history.read_text(encoding="utf-8").splitlines()]
    assert steps == [20, 40, 60, 80, 100, 120]


@pytest.mark.slow
def test_a_training_begins_with_an_earlier_model_and_another_vocabulary(copy: Path) -> None:
    before = output(copy, "Trainer", "model").relative_to(copy)
    options = {
        "trainer.warm_start.model": before,
        "transform.vocabulary_size": 390,
        "trainer.precision": "bfloat16",
        "trainer.scheduled_sampling": 0.2,
        "trainer.accumulate": 2,
        "trainer.replicas": 2,
        "trainer.optimizer.average_checkpoints": 2,
    }
    sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    done = bitext(copy, "run", "toy.yaml", *sets, "--to", "Trainer")
    assert (done.code, done.err) == (0, ""), done.out
    found = re.search(r"target_embedding: (\d+) of (\d+) tokens were known to (\S+)", done.out)
    assert found is not None
    assert 256 < int(found[1]) <= int(found[2]) == 390
    assert found[3] == str(before)
    again = bitext(copy, "run", "toy.yaml", *sets, "--to", "Trainer")
    assert (again.code, again.ran()) == (0, [])


def test_a_model_to_begin_with_that_is_not_there_is_named(copy: Path) -> None:
    done = bitext(copy, "run", "toy.yaml", "--set", "trainer.warm_start.model=runs/nowhere")
    assert done.code == 3
    assert "runs/nowhere/checkpoint/weights.npz" in done.err
    assert done.cached() == done.ran() == []


def _kill_training(folder: Path, arguments: tuple[str, ...]) -> str:
    """Runs the command, kills it (SIGKILL) after its training's first checkpoint; what it said."""
    with (folder / "killed.txt").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            toy.command(*arguments), cwd=folder, env=toy.environment(), stdout=said, stderr=said
        )
        try:
            deadline = time.monotonic() + 120
            while not list((folder / "runs/toy/.working/Trainer").glob("*/checkpoints/checkpoint")):
                assert process.poll() is None, (folder / "killed.txt").read_text(encoding="utf-8")
                assert time.monotonic() < deadline, "no checkpoint within two minutes"
                time.sleep(0.02)
        finally:
            process.kill()
            code = process.wait()
    assert code == -signal.SIGKILL
    return (folder / "killed.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_same_data_gives_the_same_bytes(copy: Path) -> None:
    """What is forced to run again changes nothing after it: Trainer is still cached."""
    again = ("ExampleGen", "StatisticsGen", "Transform")
    forced = [word for node in again for word in ("--force", node)]
    done = bitext(copy, "run", "toy.yaml", *forced)
    assert (done.code, done.ran()) == (0, list(again))
