"""TF_CONFIG, the job file, and who waits for whom in a distributed training. No process is started here."""

from __future__ import annotations

import json
import socket
import uuid
from pathlib import Path

import msgspec
import pytest

from bitext.components.component import Context
from bitext.components.shared import storage
from bitext.components.shared.errors import BitextError, ConfigError, DataError, EnvironmentFault
from bitext.components.trainer import DistributeParameters, Parameters, Trainer, chief, cluster, job, joining
from bitext.components.trainer.cluster import Cluster
from bitext.components.trainer.process import Done, Failed

THREE = ["host0:2222", "host1:2222", "host2:2222"]


def environment(cluster_: object, task: object) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster_, "task": task})}


class TestTfConfig:
    @pytest.mark.parametrize(
        ("groups", "task", "index"),
        [
            ({"worker": THREE}, {"type": "worker", "index": 0}, 0),
            ({"worker": THREE}, {"type": "worker", "index": "2"}, 2),
            ({"chief": THREE[:1], "worker": THREE[1:]}, {"type": "chief", "index": 0}, 0),
            ({"chief": THREE[:1], "worker": THREE[1:]}, {"type": "worker", "index": 0}, 1),
        ],
    )
    def test_every_process_finds_its_place(self, groups, task, index):
        own = cluster.from_environment(3, environment(groups, task))
        assert own == Cluster(tuple(THREE), index)
        assert own.is_chief == (index == 0)
        # TensorFlow reads the same cluster, with the chief as worker 0.
        again = cluster.from_environment(3, {"TF_CONFIG": own.tf_config()})
        assert again == own

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "is not set"),
            ("  ", "is not set"),
            ("{'cluster': 1}", "is not JSON"),
            ("[]", "has no object `cluster`"),
            ('{"cluster": []}', "has no object `cluster`"),
            ({"cluster": {"worker": THREE}}, "has no object `task`"),
            ({"cluster": {"worker": THREE}, "task": {"type": "worker", "index": 3}}, "no task worker 3"),
            ({"cluster": {"worker": THREE}, "task": {"type": "worker", "index": -1}}, "no task worker -1"),
            (
                {"cluster": {"worker": THREE}, "task": {"type": "worker", "index": True}},
                "no task worker True",
            ),
            ({"cluster": {"worker": THREE}, "task": {"type": "worker"}}, "no task worker None"),
            ({"cluster": {"worker": THREE}, "task": {"type": "chief", "index": 0}}, "task.type must be"),
            ({"cluster": {"worker": THREE}, "task": {"type": ["x"], "index": 0}}, "task.type must be"),
            ({"cluster": {"worker": THREE, "ps": ["h:1"]}, "task": {}}, "cluster has 'ps'"),
            ({"cluster": {"worker": THREE, "evaluator": ["h:1"]}, "task": {}}, "cluster has 'evaluator'"),
            ({"cluster": {"chief": THREE[:2], "worker": THREE[2:]}, "task": {}}, "names 2 chiefs"),
            ({"cluster": {"worker": "host0:2222"}, "task": {}}, "must be a list"),
            ({"cluster": {"worker": ["host0"]}, "task": {}}, r"worker\[0\] must be host:port"),
            (
                {"cluster": {"worker": [*THREE[:2], "host2:99999"]}, "task": {}},
                r"worker\[2\] must be host:port",
            ),
            ({"cluster": {"worker": ["http://host0:1", 5]}, "task": {}}, r"worker\[0\] must be host:port"),
            ({"cluster": {"worker": [*THREE[:2], THREE[0]]}, "task": {}}, "names host0:2222 twice"),
            ({"cluster": {"worker": THREE[:2]}, "task": {"type": "worker", "index": 0}}, "names 2 processes"),
        ],
    )
    def test_what_is_wrong_is_named(self, text, message):
        given = {} if text is None else {"TF_CONFIG": text if isinstance(text, str) else json.dumps(text)}
        with pytest.raises(ConfigError, match=message) as error:
            cluster.from_environment(3, given)
        assert error.value.remedy

    def test_only_the_chief_runs_the_pipeline(self, monkeypatch):
        parameters = Parameters(distribute=DistributeParameters(workers=3))
        monkeypatch.setenv("TF_CONFIG", Cluster(tuple(THREE), 1).tf_config())
        with pytest.raises(ConfigError, match=r"this process is worker 1 \(host1:2222\)"):
            Trainer().check_files(parameters)
        monkeypatch.setenv("TF_CONFIG", Cluster(tuple(THREE), 0).tf_config())
        Trainer().check_files(parameters)
        monkeypatch.delenv("TF_CONFIG")
        with pytest.raises(ConfigError, match="is not set"):
            Trainer().check_files(parameters)
        Trainer().check_files(Parameters())  # one process needs no cluster

    def test_several_workers_have_one_device_each(self):
        with pytest.raises(ValueError, match="devices must be 1"):
            DistributeParameters(workers=2, devices=2)


class TestJobFile:
    def test_the_job_is_read_as_it_was_written(self, tmp_path):
        file, parameters = tmp_path / "root" / ".train-job.json", Parameters(steps=700)
        examples = tmp_path / "root" / "Transform" / "transformed_examples" / "5"
        examples.mkdir(parents=True)
        written = job.Job.new(parameters, examples, file)
        job.write(file, written)
        read = job.read(file)
        assert read == written
        assert read.typed_parameters() == parameters
        assert read.examples == "Transform/transformed_examples/5"
        moved = tmp_path / "mounted elsewhere" / file.name
        assert read.examples_folder(moved) == moved.parent / "Transform/transformed_examples/5"
        assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]

    def test_examples_outside_the_root_have_their_whole_path(self, tmp_path):
        file, examples = tmp_path / "root" / ".train-job.json", tmp_path / "other root" / "5"
        (tmp_path / "root").mkdir()
        examples.mkdir(parents=True)
        assert job.Job.new(Parameters(), examples, file).examples_folder(file) == examples

    def test_other_code_is_refused(self, tmp_path, monkeypatch):
        written = job.Job.new(Parameters(), tmp_path, tmp_path / "job.json")
        monkeypatch.setattr(job.importlib.metadata, "version", lambda name: "0.1")
        with pytest.raises(ConfigError, match="another version"):
            written.typed_parameters()

    def test_parameters_that_only_another_version_has_are_refused_as_such(self, tmp_path):
        written = job.Job.new(Parameters(), tmp_path, tmp_path / "job.json")
        other = msgspec.structs.replace(written, code="x", parameters={"unknown": 1})
        with pytest.raises(ConfigError, match="another version"):
            other.typed_parameters()

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": 5}'])
    def test_a_damaged_file_is_named(self, tmp_path, content):
        (tmp_path / "job.json").write_bytes(content)
        with pytest.raises(DataError, match=r"job\.json is damaged"):
            job.read(tmp_path / "job.json")

    def test_the_end_of_an_attempt_keeps_its_id_and_another_end_gets_a_new_one(self, tmp_path):
        file = tmp_path / "job.json"
        job.end(file, job.Ending(0))  # a run that did not train
        first = job.read(file)
        assert first.ended == job.Ending(0)
        training = job.Job.new(Parameters(), tmp_path, file)
        job.write(file, training)
        job.end(file, job.Ending(3, "bad"))
        assert (job.read(file).id, job.read(file).ended) == (training.id, job.Ending(3, "bad"))
        job.end(file, job.Ending(0))
        assert job.read(file).id not in (training.id, first.id)

    @pytest.mark.parametrize(
        ("error", "code"),
        [(DataError("bad", "fix it"), 3), (KeyboardInterrupt(), 6), (ValueError("x"), 6), (None, 0)],
    )
    def test_a_worker_ends_with_the_exit_code_of_the_chief(self, error, code):
        ending = job.ending_after(error)
        raised = ending.error()
        assert (raised.exit_code if raised else 0) == code
        if isinstance(error, BitextError):
            assert type(raised) is type(error)
            assert str(raised) == "the chief ended: bad"


class Listener:
    """A process that listens, as the chief does while it trains."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"


@pytest.fixture
def listener():
    listening = Listener()
    yield listening
    listening.socket.close()


def context(folder: Path, lines: list[str]) -> Context:
    return Context(folder, folder, lambda: pytest.fail("no Beam"), lines.append)


class TestChief:
    def test_it_names_who_is_missing_and_ends_in_time(self, tmp_path, listener):
        lines: list[str] = []
        own = Cluster(("127.0.0.1:1", listener.address, "127.0.0.1:2"), 0)
        waiting = chief._Waiting(own, 100, context(tmp_path, lines))
        assert waiting.goes_on(False)
        assert waiting.goes_on(False)
        assert lines == ["waiting for worker 2 (127.0.0.1:2): `bitext train-worker` there"]
        waiting._deadline = 0.0
        assert waiting.goes_on(True)  # all have joined
        with pytest.raises(EnvironmentFault, match=r"worker 2 \(127.0.0.1:2\) has not joined within 100 s"):
            waiting.goes_on(False)

    def test_without_a_pipeline_root_it_refuses(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TF_CONFIG", Cluster(tuple(THREE[:2]), 0).tf_config())
        parameters = Parameters(distribute=DistributeParameters(workers=2))
        with pytest.raises(ConfigError, match="the Trainer runs alone"):
            chief.run(parameters, context(tmp_path, []), {}, {})

    @pytest.mark.parametrize("error", [DataError("bad", "fix it"), KeyboardInterrupt()])
    def test_the_workers_are_told_of_an_error(self, tmp_path, monkeypatch, error):
        monkeypatch.setenv("TF_CONFIG", Cluster(tuple(THREE[:2]), 0).tf_config())

        def failing(*_):
            raise error

        monkeypatch.setattr(chief.process, "run", failing)
        own = context(tmp_path, [])
        own = type(own)(tmp_path, tmp_path, own.beam_pipeline, job_file=tmp_path / "job.json")
        with pytest.raises(type(error)):
            chief.run(Parameters(distribute=DistributeParameters(workers=2)), own, {}, {})
        assert job.read(tmp_path / "job.json").ended == job.ending_after(error)


class Worker(joining.Joining):
    """A worker that starts no process: `runs` are its results, and what happens meanwhile."""

    def __init__(self, folder: Path, chief_address: str, *events):
        self.lines: list[str] = []
        self.events = list(events)
        (folder / "own").mkdir(exist_ok=True)
        own = Cluster((chief_address, "127.0.0.1:2"), 1)
        super().__init__(own, folder / "job.json", context(folder / "own", self.lines), self.wait)

    def wait(self, _: float) -> None:
        assert self.events, "it waits for nothing"
        self.events.pop(0)()


class TestJoining:
    @pytest.fixture
    def file(self, tmp_path) -> Path:
        return tmp_path / "job.json"

    @pytest.fixture
    def training(self, tmp_path, file) -> job.Job:
        return job.Job.new(Parameters(), tmp_path, file)

    def test_it_waits_for_the_chief_trains_and_ends_with_it(
        self, tmp_path, file, training, listener, monkeypatch
    ):
        stale = msgspec.structs.replace(training, id="stale", ended=job.Ending(3, "last week"))
        job.write(file, stale)
        requests = []

        def run(request, tf_config, given, wait):
            requests.append(request)
            assert wait(False)  # the chief trains this job
            return Done()

        monkeypatch.setattr(joining.process, "run", run)
        worker = Worker(
            tmp_path,
            listener.address,
            lambda: job.write(file, training),
            lambda: job.end(file, job.Ending(0)),
        )
        worker.run()
        assert [request["job"]["id"] for request in requests] == [training.id]
        assert worker.lines == [
            f"waiting for the chief ({listener.address}): its `bitext run` listens there when it reaches the "
            "Trainer",
            f"joining the chief ({listener.address})",
            "the chief has ended the training",
        ]

    def test_a_job_of_a_killed_chief_is_not_joined(self, tmp_path, file, training, monkeypatch):
        job.write(file, training)
        monkeypatch.setattr(joining.process, "run", lambda *_: pytest.fail("nobody listens"))
        end = job.ending_after(DataError("bad", "fix it"))
        worker = Worker(tmp_path, "127.0.0.1:1", lambda: job.end(file, end))
        with pytest.raises(DataError, match="the chief ended: bad"):
            worker.run()

    def test_a_chief_that_starts_again_is_joined_again(self, tmp_path, file, training, listener, monkeypatch):
        second = msgspec.structs.replace(training, id="second")
        job.write(file, training)
        joined = []

        def run(request, tf_config, given, wait):
            joined.append(request["job"]["id"])
            if len(joined) == 1:
                job.write(file, second)
                assert not wait(False)
                return None
            job.end(file, job.Ending(0))
            return Done()

        monkeypatch.setattr(joining.process, "run", run)
        Worker(tmp_path, listener.address).run()
        assert joined == [training.id, "second"]

    def test_a_lost_chief_is_an_environment_fault(self, tmp_path, file, training, listener, monkeypatch):
        job.write(file, training)

        def run(*_):
            listener.socket.close()
            raise EnvironmentFault("lost", "start again")

        monkeypatch.setattr(joining.process, "run", run)
        monkeypatch.setattr(joining, "RESULT_SECONDS", 0.05)
        worker = Worker(tmp_path, listener.address, *[lambda: __import__("time").sleep(0.06)] * 2)
        with pytest.raises(EnvironmentFault, match="lost"):
            worker.run()

    def test_its_own_error_is_raised_at_once(self, tmp_path, file, training, listener, monkeypatch):
        job.write(file, training)

        def run(*_):
            raise ConfigError("worker 1 has other training data than the chief", "fix it")

        monkeypatch.setattr(joining.process, "run", run)
        with pytest.raises(ConfigError, match="other training data"):
            Worker(tmp_path, listener.address).run()

    def test_it_waits_no_longer_than_it_may(self, tmp_path):
        with pytest.raises(EnvironmentFault, match="has not reached the Trainer in time"):
            Worker(tmp_path, "127.0.0.1:1").run(wait_seconds=0.0)


@pytest.mark.parametrize(
    ("failed", "kind", "text"),
    [
        (Failed("DataError", "bad", "fix it"), DataError, "bad"),
        (Failed("OSError", "No space left on device", number=28, path="/x"), OSError, "No space left"),
        (Failed("KeyError", "'a'"), RuntimeError, "the process that trains has failed: KeyError: 'a'"),
        (Failed("ExitCode", "x"), RuntimeError, "ExitCode"),
    ],
)
def test_an_error_of_the_process_is_raised_as_it_was(failed, kind, text):
    error = failed.error()
    assert type(error) is kind
    assert text in str(error)


class TestRemoteRoot:
    """An object store in the memory of this process."""

    @pytest.fixture
    def root(self) -> Path:
        root = storage.path(f"memory://{uuid.uuid4().hex}/runs")
        (root / "Transform/transformed_examples/5/Split-train").mkdir(parents=True)
        (root / "Transform/transformed_examples/5/Split-train/buckets.json").write_bytes(b"[]")
        (root / "Transform/transformed_examples/5/Split-eval").mkdir(parents=True)
        (root / "Transform/transformed_examples/5/Split-eval/buckets.json").write_bytes(b"[]")
        return root

    def test_the_worker_copies_the_training_data_only(self, root, tmp_path):
        file = root / ".train-job.json"
        assert job.read(file) == job.Job()
        written = job.Job.new(Parameters(), root / "Transform/transformed_examples/5", file)
        job.write(file, written)
        assert job.read(file) == written
        assert written.examples == "Transform/transformed_examples/5"
        worker = Worker(tmp_path, "127.0.0.1:1")
        worker.job_file = file
        copy = worker._local_examples(written)
        assert [str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()] == [
            "Split-train/buckets.json"
        ]

    def test_the_end_replaces_the_job(self, root):
        file = root / ".train-job.json"
        job.end(file, job.Ending(6, "gone"))
        assert job.read(file).ended == job.Ending(6, "gone")
