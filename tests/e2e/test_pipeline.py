"""The pipeline on a generated corpus: from raw text to a pushed SavedModel, and further runs."""

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
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from bitext.components.artifacts import ServedVersion, kind_named
from bitext.components.infra_validator import standalone
from tests.e2e import toy
from tests.e2e.conftest import Finished
from tests.e2e.toy import NODES, bitext, output, status

SPLITS = ("train", "eval", "test")


def examples(folder: Path, split: str) -> list[dict[str, str]]:
    """Returns the examples that ExampleGen wrote for a split."""
    import tensorflow as tf

    files = sorted(output(folder, "ExampleGen", "examples").glob(f"Split-{split}/*.gz"))
    rows = []
    for record in tf.data.TFRecordDataset([str(f) for f in files], "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        rows.append(
            {name: features[name].bytes_list.value[0].decode() for name in ("id", "source", "target")}
        )
    return rows


def test_every_node_runs_in_order_and_the_summary_is_complete(finished: Finished) -> None:
    result = finished.result
    assert (result.code, result.err) == (0, ""), result.out
    assert result.ran() == list(NODES)
    version = finished.folder / "serving" / "toy" / "1"
    assert re.search(r"^BLEU \d+\.\d\d .*nrefs:.*tok:13a.*version:", result.out, re.MULTILINE)
    assert result.out.count("    source      ") == 10
    assert f"SavedModel  {version}\n" in result.out
    assert "translate --model serving/toy\n" in result.out
    assert (version / "saved_model.pb").is_file()


def test_no_messages_of_libraries_are_printed(finished: Finished) -> None:
    assert not re.search(
        r"warning|deprecat|tensorflow/|absl|I0000|\bWARN", finished.result.out, re.IGNORECASE
    )


def test_a_second_run_is_cached_and_takes_seconds(finished: Finished) -> None:
    result = bitext(finished.folder, "run", "toy.yaml")
    assert (result.code, result.err, result.ran()) == (0, "", [])
    assert result.cached() == list(NODES)
    assert result.seconds < 5  # less than 1 s on an idle machine


def test_status_has_the_documented_fields(finished: Finished) -> None:
    report = status(finished.folder)
    assert set(report) == {"runs", "pushed"}
    assert set(report["pushed"]) == {"model", "version", "path", "digest", "run", "rolled_back"}
    assert (report["pushed"]["run"], report["pushed"]["rolled_back"]) == (report["runs"][-1]["id"], False)
    assert (report["pushed"]["model"], report["pushed"]["version"]) == ("toy", 1)
    assert report["pushed"]["path"] == str(finished.folder / "serving" / "toy" / "1")
    first = report["runs"][-1]
    assert set(first) == {
        *("id", "state", "started", "seconds", "spans", "nodes", "scores", "bleu", "bleu_signature"),
        *("trivial", "problem", "blessed", "forced", "reasons", "error", "progress", "tuning"),
    }
    assert [first[name] for name in ("progress", "problem", "forced", "tuning")] == [None] * 4
    assert set(first["scores"]) == {"bleu", "chrf", "chrfpp", "ter"}
    assert (first["state"], first["blessed"], first["reasons"], first["error"]) == (
        "COMPLETE",
        True,
        [],
        None,
    )
    assert "tok:13a" in first["bleu_signature"]
    assert list(first["nodes"]) == list(NODES)
    for node in first["nodes"].values():
        assert set(node) == {"state", "seconds", "cached", "outputs"}
        assert node["outputs"]
        assert all(Path(folder).is_dir() for folder in node["outputs"].values())
        assert (node["state"], node["cached"]) == ("COMPLETE", False)
    assert 0 < sum(node["seconds"] for node in first["nodes"].values()) <= first["seconds"]
    assert 0 <= first["bleu"] <= 100


def test_every_line_is_an_example_a_duplicate_or_a_reject(finished: Finished) -> None:
    artifact = output(finished.folder, "ExampleGen", "rejects")
    with gzip.open(artifact / "rejects.jsonl.gz", "rt", encoding="utf-8") as file:
        rejects = {reject["line"]: reject["reason"] for reject in map(json.loads, file)}
    assert sorted(rejects) == [51, 52, 53, 54]
    rows = [example for split in SPLITS for example in examples(finished.folder, split)]
    accepted = {int(example["id"].removeprefix("toy.tsv:")): example for example in rows}
    assert len(accepted) == len(rows)
    seen: set[str] = set()
    duplicates = 0
    for number, line in enumerate(finished.lines, 1):
        if number in rejects:
            assert number not in accepted
        elif line in seen:
            duplicates += 1
            assert number not in accepted
        else:
            assert f"{accepted[number]['source']}\t{accepted[number]['target']}" == line
        seen.add(line)
    summary = json.loads((artifact / "summary.json").read_text(encoding="utf-8"))
    counts = (summary["rows"], summary["accepted"], summary["duplicates"], summary["rejected"])
    assert counts == (len(finished.lines), len(accepted), duplicates, len(rejects))
    assert duplicates > 0


def test_all_translations_of_a_source_are_in_one_split(finished: Finished) -> None:
    splits = defaultdict(set)
    targets = defaultdict(set)
    for split in SPLITS:
        for example in examples(finished.folder, split):
            splits[example["source"]].add(split)
            targets[example["source"]].add(example["target"])
    assert sum(len(source_targets) > 1 for source_targets in targets.values()) > 10
    assert all(len(source_splits) == 1 for source_splits in splits.values())
    rows = (output(finished.folder, "Evaluator", "evaluation") / "translations.jsonl").read_text(
        encoding="utf-8"
    )
    for row in map(json.loads, rows.splitlines()):
        assert set(row["references"]) == targets[row["source"]]


def test_training_and_serving_have_the_same_token_ids(finished: Finished) -> None:
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


# Runs in a process that loads the model without this project.
SERVE = """
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
text = tf.constant(["The cat sees the river.", "A child buys some bread today."])
outputs = model.signatures["serving_default"](text=text)
assert outputs["text"].shape == (2,) and outputs["score"].dtype == tf.float32
assert not {"bitext", "tensorflow_text", "tensorflow_transform"} & set(sys.modules)
print("served")
"""


def test_the_pushed_model_needs_only_tensorflow(finished: Finished, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-c", SERVE, str(finished.folder / "serving" / "toy" / "1")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "served\n"), result.stderr


def test_the_pushed_model_has_a_model_card(finished: Finished) -> None:
    version, root = finished.folder / "serving" / "toy" / "1", finished.folder / "runs" / "toy"
    card = json.loads((version / ServedVersion.CARD_JSON).read_text(encoding="utf-8"))
    run, evaluation = status(finished.folder)["runs"][-1], output(finished.folder, "Evaluator", "evaluation")
    assert (card["model"], card["version"], card["run_id"]) == ("toy", 1, run["id"])
    assert card["digest"] == json.loads((version / "assets.extra" / "bitext.json").read_text())["digest"]
    metrics = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    assert (card["scores"]["bleu"], card["scores"]["chrf"]) == (metrics["bleu"], metrics["chrf"])
    assert (card["scores"]["bleu"]["score"], card["scores"]["bleu"]["signature"]) == (
        run["bleu"],
        run["bleu_signature"],
    )
    assert sum(card["data"]["splits"].values()) == sum(len(examples(finished.folder, s)) for s in SPLITS)
    assert card["settings"]["steps"] == 40
    assert card["text"]["source"]["size"] == 400
    assert set(card["software"]) == {"python", "tensorflow"}
    assert len(card["lineage"]) == 9
    assert [len(card["lineage"][name]) for name in ("examples", "rejects")] == [1, 1]
    origins = [[entry] if isinstance(entry, dict) else entry for entry in card["lineage"].values()]
    for origin in itertools.chain.from_iterable(origins):
        node, key, _ = origin["artifact"].split("/")
        assert root / origin["artifact"] == output(finished.folder, node, key)
        assert origin["digest"] == kind_named(origin["type"])(root / origin["artifact"]).content_digest()
    text = (version / ServedVersion.CARD_MARKDOWN).read_text(encoding="utf-8")
    assert text.startswith("# toy, version 1\n")
    assert f"`{run['bleu_signature']}`" in text
    assert "None was stated." in text


def test_a_license_that_is_added_later_changes_only_the_card_of_the_version(copy: Path) -> None:
    before = toy.contents(copy / "serving")
    result = bitext(copy, "run", "toy.yaml", "--set", "pusher.card.licence=CC0")
    assert (result.code, result.ran()) == (0, ["Pusher"])
    after = toy.contents(copy / "serving")
    assert {name for name in after if after[name] != before.get(name)} == {
        f"toy/1/{ServedVersion.CARD_JSON}",
        f"toy/1/{ServedVersion.CARD_MARKDOWN}",
        f"toy/1/{ServedVersion.METADATA}",  # names the root, which is a copy
    }
    changed = [json.loads(content[f"toy/1/{ServedVersion.METADATA}"]) for content in (before, after)]
    assert {name for name in changed[0] if changed[0][name] != changed[1][name]} <= {
        "root_id",
        "place",
        "folder_inode",
        "checksum",
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


def test_translate_writes_one_line_for_each_line_in_order(finished: Finished) -> None:
    lines = ["The cat sees the river.", "", "A child.", "The doctor wants two apples every day.", "x"]
    result = bitext(finished.folder, "translate", "--model", "serving/toy", stdin="\n".join(lines))
    assert (result.code, result.err) == (0, "")
    translations = result.out.split("\n")
    assert len(translations) == len(lines) + 1
    assert (translations[1], translations[-1]) == ("", "")
    backward = bitext(
        finished.folder, "translate", "--model", "serving/toy", stdin="\n".join(reversed(lines)) + "\n"
    )
    assert backward.out.split("\n")[:-1] == translations[-2::-1]


def test_a_refused_model_is_not_pushed_and_the_pushed_one_stays(copy: Path) -> None:
    served = toy.contents(copy / "serving")
    result = bitext(copy, "run", "toy.yaml", "--set", "evaluator.min_bleu=100")
    assert result.code == 4
    assert result.ran() == ["Evaluator", "Pusher", "Reporter"]  # no other node depends on min_bleu
    assert re.match(
        r"error: the model was not blessed: BLEU .* is below the threshold min_bleu 100", result.err
    )
    assert "nothing was pushed;" in result.err
    blessing = output(copy, "Evaluator", "blessing")
    assert [path.name for path in blessing.iterdir()] == ["NOT_BLESSED"]
    reasons = json.loads((blessing / "NOT_BLESSED").read_text(encoding="utf-8"))["reasons"]
    assert "min_bleu 100" in reasons[0]
    assert status(copy)["runs"][0]["reasons"] == reasons
    assert toy.contents(copy / "serving") == served
    assert status(copy)["pushed"]["version"] == 1
    again = bitext(copy, "run", "toy.yaml", "--set", "evaluator.min_bleu=100")
    assert (again.code, again.ran()) == (4, [])


@pytest.mark.slow
def test_a_killed_training_on_a_changed_corpus_is_resumed(copy: Path) -> None:
    """A line of the corpus changes, the training is killed, and the next run resumes it."""
    lines = (copy / "toy.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    lines[7] = "The lion sees a red house today.\tEl león ve una casa roja hoy.\n"
    (copy / "toy.tsv").write_text("".join(lines), encoding="utf-8")
    arguments = ("run", "toy.yaml", "--set", "trainer.steps=120")
    killed = _kill_training(copy, arguments)
    assert [line for line in killed.splitlines() if line in NODES] == list(NODES[:6])
    root = str(copy / "runs" / "toy")
    open_board = EventMultiplexer().AddRunsFromDirectory(root).Reload()
    earlier = set(open_board.Runs())
    assert len(earlier) == 2
    assert list((copy / "runs" / "toy" / "Trainer" / "model").iterdir()) != []
    before = output(copy, "Trainer", "model")
    result = bitext(copy, *arguments)
    assert (result.code, result.err) == (0, "")
    assert (result.cached(), result.ran()) == (list(NODES[:5]), list(NODES[5:]))
    resumed = re.search(r"resumed at step (\d+) of 120", result.out)
    assert resumed is not None
    assert 0 < int(resumed[1]) < 120
    assert output(copy, "Trainer", "model") != before
    report = status(copy)
    assert [run["state"] for run in report["runs"][:2]] == ["COMPLETE", "CANCELED"]
    assert report["runs"][1]["nodes"]["Trainer"]["state"] == "CANCELED"
    assert report["pushed"]["version"] == 2
    history = output(copy, "Trainer", "model_run") / "history.jsonl"
    steps = [json.loads(line)["step"] for line in history.read_text(encoding="utf-8").splitlines()]
    assert steps == [20, 40, 60, 80, 100, 120]
    for board in (open_board.AddRunsFromDirectory(root).Reload(), new_board(root)):
        assert set(board.Runs()) == earlier
        [run] = [run for run in earlier if len(board.Scalars(run, "validation_bleu")) == len(steps)]
        assert [event.step for event in board.Scalars(run, "validation_bleu")] == steps
        assert [event.step for event in board.Scalars(run, "loss")] == sorted({*steps, 50})
    assert run == f"tensorboard/{report['runs'][1]['id']}"  # the run that started the training
    verified = bitext(copy, "verify", "toy.yaml")
    assert (verified.code, verified.err) == (0, "")


def new_board(root: str) -> EventMultiplexer:
    """What a TensorBoard shows that is started now."""
    return EventMultiplexer().AddRunsFromDirectory(root).Reload()


@pytest.mark.slow
def test_a_warm_start_with_another_vocabulary(copy: Path) -> None:
    base_model = output(copy, "Trainer", "model").relative_to(copy)
    options = {
        "trainer.warm_start.model": base_model,
        "transform.vocabulary_size": 390,
        "trainer.precision": "bfloat16",
        "trainer.scheduled_sampling": 0.2,
        "trainer.accumulate": 2,
        "trainer.replicas": 2,
        "trainer.optimizer.average_checkpoints": 2,
    }
    sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    result = bitext(copy, "run", "toy.yaml", *sets, "--to", "Trainer")
    assert (result.code, result.err) == (0, ""), result.out
    match = re.search(r"target_embedding: (\d+) of (\d+) tokens were known to (\S+)", result.out)
    assert match is not None
    assert 256 < int(match[1]) <= int(match[2]) == 390
    assert match[3] == str(base_model)
    again = bitext(copy, "run", "toy.yaml", *sets, "--to", "Trainer")
    assert (again.code, again.ran()) == (0, [])


def test_the_error_about_a_missing_base_model_names_its_folder(copy: Path) -> None:
    result = bitext(copy, "run", "toy.yaml", "--set", "trainer.warm_start.model=runs/nowhere")
    assert result.code == 3
    assert "runs/nowhere/checkpoint/weights.npz" in result.err
    assert result.cached() == result.ran() == []


def _kill_training(folder: Path, arguments: tuple[str, ...]) -> str:
    """Runs the command, kills it (SIGKILL) after the first checkpoint, and returns its output."""
    with (folder / "killed.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            toy.command(*arguments), cwd=folder, env=toy.environment(), stdout=log, stderr=log
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
    """Forced nodes write the same outputs, so later nodes are cached."""
    forced_nodes = ("ExampleGen", "StatisticsGen", "Transform")
    options = [word for node in forced_nodes for word in ("--force", node)]
    result = bitext(copy, "run", "toy.yaml", *options)
    assert (result.code, result.ran()) == (0, list(forced_nodes))
