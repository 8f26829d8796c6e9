"""The DAG in Airflow 2 and 3, each in an environment of its own (`make test-airflow`)."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from bitext.components.shared.errors import Action, DataError, LockedError, exit_codes
from bitext.pipeline import config
from bitext.pipeline.graph import create_pipeline
from tests.e2e import toy

DAG_FILE = toy.REPOSITORY / "pipeline" / "airflow_dag.py"
TREE = ast.parse(DAG_FILE.read_text(encoding="utf-8"))
NODES = list(toy.NODES)

# Runs in Airflow's environment: prints the import errors, and the tasks of each DAG in order.
LOAD = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models import DagBag

bag = DagBag(sys.argv[1])
chains = {}
for name, dag in bag.dags.items():
    (task,), chains[name] = dag.roots, []
    while task:
        chains[name].append(task.task_id)
        (task,) = task.downstream_list or (None,)
print(json.dumps([list(bag.import_errors.values()), chains]))
"""


def constant(name: str) -> Any:
    """Returns a constant of the DAG file from its source. The import of the file would need Airflow."""
    (value,) = (
        node.value
        for node in TREE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return ast.literal_eval(value)


class TestWithoutAirflow:
    @staticmethod
    def nodes(*overrides: str) -> list[str]:
        """Returns the names of the nodes of a shipped configuration with overrides."""
        loaded = config.load(toy.REPOSITORY / "pipeline" / "configs" / "tatoeba.yaml", overrides)
        return [node.name for node in create_pipeline(loaded).nodes]

    def test_its_nodes_are_those_of_the_pipeline(self) -> None:
        assert list(constant("NODES")) == self.nodes()

    def test_its_tasks_cover_every_possible_node(self) -> None:
        all_nodes = self.nodes(
            "example_gen.golden.files=[golden.tsv]",
            "request_log.files=[requests.txt]",
            "augmentation.monolingual.source.files=[source.txt]",
            "augmentation.monolingual.target.files=[target.txt]",
        )
        assert len(all_nodes) == len(self.nodes()) + 2 + 11
        nodes_of_tasks: list[str] = []
        for task in constant("NODES"):
            first = constant("FIRST_NODES").get(task, task) or all_nodes[0]
            nodes_of_tasks += all_nodes[all_nodes.index(first) : all_nodes.index(task) + 1]
        assert list(dict.fromkeys(nodes_of_tasks)) == all_nodes

    def test_its_exit_codes_are_those_of_the_command(self) -> None:
        codes = {action: [row.code for row in exit_codes() if row.action == action] for action in Action}
        assert codes[Action.CONTINUE] == [0, constant("REFUSED")]
        assert tuple(codes[Action.STOP]) == constant("NOT_RETRIED")

    def test_it_imports_only_airflow_and_the_standard_library(self) -> None:
        imported = {
            name.split(".")[0]
            for node in ast.walk(TREE)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        assert imported - sys.stdlib_module_names == {"airflow"}


@dataclasses.dataclass(frozen=True)
class DagRun:
    """A finished DAG run.

    Attributes:
      state: the state of the DAG run.
      tasks: the state of each task.
      tries: the number of tries of each task.
      log: the output of `airflow dags test`.
    """

    state: str
    tasks: dict[str, str]
    tries: dict[str, int]
    log: str

    def tasks_with_state(self, state: str) -> list[str]:
        return [node for node in NODES if self.tasks[node] == state]

    def cached(self) -> list[str]:
        """Returns the nodes that bitext printed as cached. Airflow 2 logs each line twice."""
        return list(
            dict.fromkeys(
                re.findall(
                    r"([A-Z]\w+Gen|Transform|Trainer|Evaluator|\w+Validator|Pusher|Reporter) +cached",
                    self.log,
                )
            )
        )


@dataclasses.dataclass(frozen=True)
class Airflow:
    """An installation of Airflow with its own AIRFLOW_HOME, to which the DAG file is linked."""

    binaries: Path
    home: Path

    def environment(self, **settings: str) -> dict[str, str]:
        prefixes = ("BITEXT_", "AIRFLOW", "TF_", "CUDA_", "PYTHON", "VIRTUAL_ENV")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
        return inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "BITEXT_CONFIGS": "toy.yaml",
            "BITEXT_RETRIES": "1",
            "BITEXT_RETRY_MINUTES": "0.01",
            **settings,
        }

    def start(self, *command: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.binaries / command[0]), *command[1:]],
            env=self.environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def dags_test(self, parameters: dict[str, Any], **settings: str) -> subprocess.Popen[str]:
        """Starts `airflow dags test`, which runs a DAG without the services of Airflow."""
        return self.start(
            "airflow", "dags", "test", "bitext_toy", "--conf", json.dumps(parameters), **settings
        )

    def run(self, folder: Path, command: list[str], **parameters: Any) -> DagRun:
        """Runs the DAG with these parameters. Its tasks run `command` in `folder`."""
        settings = {"BITEXT_HOME": str(folder), "BITEXT_COMMAND": shlex.join(command)}
        return self.wait_for(self.dags_test(parameters, **settings))

    def wait_for(self, process: subprocess.Popen[str]) -> DagRun:
        """Waits for a DAG run and reads its states from Airflow's database."""
        log, _ = process.communicate()
        with sqlite3.connect(self.home / "airflow.db") as database:
            run_id, state = database.execute("SELECT run_id, state FROM dag_run ORDER BY id DESC").fetchone()
            tasks = database.execute(
                "SELECT task_id, state, try_number FROM task_instance WHERE run_id = ?", (run_id,)
            ).fetchall()
        assert process.returncode == (state != "success"), log
        assert sorted(task for task, _, _ in tasks) == sorted(NODES), log
        return DagRun(state, {t: s for t, s, _ in tasks}, {t: n for t, _, n in tasks}, log)


@pytest.fixture(scope="module", params=["2", "3"], ids="Airflow{}".format)
def airflow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with a database and the DAG."""
    environment = toy.REPOSITORY / f".venv-airflow{request.param}"
    if not (environment / "bin" / "airflow").exists():
        pytest.skip(f"Airflow is not in {environment.name}/: `make test-airflow` installs it there")
    installed = Airflow(environment / "bin", tmp_path_factory.mktemp(f"airflow{request.param}"))
    (installed.home / "dags").mkdir()
    (installed.home / "dags" / "bitext.py").symlink_to(DAG_FILE)
    process = installed.start("airflow", "db", "migrate")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return installed


def script(folder: Path, body: str) -> list[str]:
    """Returns the command of a Python script with this body, which reads its arguments from `arguments`."""
    path = folder / "bitext.py"
    path.write_text(
        f"import pathlib, signal, sys\n\n_, *arguments = sys.argv\n{textwrap.dedent(body)}", encoding="utf-8"
    )
    return [sys.executable, str(path)]


GOLDEN = {"golden": {"files": ["golden.tsv"]}}
BITEXT = ["env", f"PYTHONPATH={toy.REPOSITORY}", *toy.command()]


@pytest.mark.slow
class TestTask:
    """Tasks run a script that exits with one of the codes of bitext."""

    def test_airflow_loads_it(self, airflow: Airflow) -> None:
        process = airflow.start(
            "python", "-c", LOAD, str(airflow.home / "dags"), BITEXT_CONFIGS="toy.yaml sub/other.yaml"
        )
        output, _ = process.communicate()
        assert process.returncode == 0, output
        errors, chains = json.loads(output.splitlines()[-1])
        assert errors == []
        assert chains == {"bitext_toy": NODES, "bitext_other": NODES}

    def test_each_task_runs_its_node(self, airflow: Airflow, tmp_path: Path) -> None:
        command = script(
            tmp_path, 'with open("calls", "a") as calls: print(*arguments, pathlib.Path.cwd(), file=calls)'
        )
        dag_run = airflow.run(tmp_path, command, first="Transform", last="Evaluator", force=["Trainer"])
        assert dag_run.state == "success"
        assert dag_run.tasks_with_state("success") == ["Transform", "Trainer", "Evaluator"]
        assert dag_run.tasks_with_state("skipped") == [
            node for node in NODES if node not in dag_run.tasks_with_state("success")
        ]
        assert (tmp_path / "calls").read_text().splitlines() == [
            f"run toy.yaml --from Transform --to Transform {tmp_path}",
            f"run toy.yaml --from Trainer --to Trainer --force Trainer {tmp_path}",
            f"run toy.yaml --from Evaluator --to Evaluator {tmp_path}",
        ]

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"first": "Trainer", "last": "Transform"}, "first, Trainer, comes after last, Transform"),
            ({"first": "Trainer", "force": ["Transform"]}, "force names Transform; the run has Trainer"),
        ],
    )
    def test_an_impossible_range_fails(
        self, airflow: Airflow, tmp_path: Path, parameters: dict[str, Any], message: str
    ) -> None:
        dag_run = airflow.run(tmp_path, ["false"], **parameters)
        assert (dag_run.state, dag_run.tasks_with_state("failed"), dag_run.tries["ExampleGen"]) == (
            "failed",
            ["ExampleGen"],
            1,
        )
        assert message in dag_run.log

    def test_the_error_about_a_missing_command_names_the_remedy(
        self, airflow: Airflow, tmp_path: Path
    ) -> None:
        dag_run = airflow.run(tmp_path, [str(tmp_path / "bitext")])
        assert (dag_run.state, dag_run.tasks_with_state("failed"), dag_run.tries["ExampleGen"]) == (
            "failed",
            ["ExampleGen"],
            1,
        )
        assert "Set BITEXT_HOME or BITEXT_COMMAND" in dag_run.log

    def test_a_locked_root_is_retried(self, airflow: Airflow, tmp_path: Path) -> None:
        body = f"""
            locked = pathlib.Path("locked")
            if not locked.exists():
                locked.touch()
                print("error: another run is in progress")
                sys.exit({LockedError.exit_code})
        """
        dag_run = airflow.run(tmp_path, script(tmp_path, body), last="StatisticsGen")
        assert (dag_run.state, dag_run.tasks_with_state("success")) == (
            "success",
            ["ExampleGen", "StatisticsGen"],
        )
        assert (dag_run.tries["ExampleGen"], dag_run.tries["StatisticsGen"]) == (2, 1)
        assert f"exit code {LockedError.exit_code}: another run is in progress" in dag_run.log

    TERMINATED = """
        def record(number, frame):
            with open("signals", "a") as file: print(number, file=file)

        signal.signal(signal.SIGTERM, record)
        print("script started", flush=True)
        signal.pause()
        print("cleaning up " * 20_000, flush=True)  # more than a pipe holds
        print("error: interrupted")
        sys.exit(143)
    """

    def test_a_killed_task_terminates_the_command(self, airflow: Airflow, tmp_path: Path) -> None:
        command = script(
            tmp_path,
            self.TERMINATED.replace('print("script started", flush=True)', 'open("started", "w").close()'),
        )
        settings = {"BITEXT_HOME": str(tmp_path), "BITEXT_COMMAND": shlex.join(command)}
        process = airflow.dags_test({"last": "ExampleGen"}, BITEXT_RETRIES="0", **settings)
        while not (tmp_path / "started").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)
        dag_run = airflow.wait_for(process)
        assert dag_run.tasks_with_state("failed") == ["ExampleGen"]
        assert (tmp_path / "signals").read_text().split() == [str(int(signal.SIGTERM))]
        assert "error: interrupted" in dag_run.log

    def test_a_task_timeout_terminates_the_command(self, airflow: Airflow, tmp_path: Path) -> None:
        settings = {
            "BITEXT_HOME": str(tmp_path),
            "BITEXT_COMMAND": shlex.join(script(tmp_path, self.TERMINATED)),
        }
        process = airflow.dags_test(
            {"last": "ExampleGen"},
            BITEXT_RETRIES="0",
            AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT="3",
            **settings,
        )
        dag_run = airflow.wait_for(process)
        assert dag_run.tasks_with_state("failed") == ["ExampleGen"]
        assert (tmp_path / "signals").read_text().split() == [str(int(signal.SIGTERM))]
        assert "script started" in dag_run.log
        assert "error: interrupted" in dag_run.log


@pytest.mark.slow
class TestPipeline:
    """Tasks run bitext itself, on the toy corpus."""

    @pytest.fixture(scope="class")
    def complete_run(self, airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DagRun]:
        """Returns the folder and the result of a complete run."""
        folder = tmp_path_factory.mktemp("toy")
        toy.write_tsv(folder / "toy.tsv", toy.sentences())
        toy.write_tsv(folder / "golden.tsv", toy.sentences()[::30])
        toy.write_config(folder, toy.config(example_gen=GOLDEN))
        return folder, airflow.run(folder, BITEXT)

    @pytest.fixture
    def copy(self, complete_run: tuple[Path, DagRun], tmp_path: Path) -> Path:
        """Returns a copy of the folder of the complete run."""
        return Path(shutil.copytree(complete_run[0], tmp_path / "copy"))

    def test_a_model_is_pushed(self, complete_run: tuple[Path, DagRun]) -> None:
        folder, dag_run = complete_run
        assert (dag_run.state, dag_run.tasks_with_state("success")) == ("success", NODES)
        assert (folder / "serving" / "toy" / "1" / "saved_model.pb").is_file()
        assert "pushed: " in dag_run.log

    def test_the_next_run_is_cached(self, airflow: Airflow, complete_run: tuple[Path, DagRun]) -> None:
        folder, _ = complete_run
        dag_run = airflow.run(folder, BITEXT)
        assert (dag_run.state, dag_run.tasks_with_state("success")) == ("success", NODES)
        assert dag_run.cached() == ["GoldenGen", *NODES]
        assert [version.name for version in (folder / "serving" / "toy").iterdir()] == ["1"]

    def test_a_refused_model_does_not_fail_the_run(self, airflow: Airflow, copy: Path) -> None:
        toy.write_config(copy, toy.config(example_gen=GOLDEN, evaluator={"min_bleu": 100}))
        dag_run = airflow.run(copy, BITEXT)
        assert dag_run.state == "success"
        assert dag_run.tasks_with_state("success") == NODES[: NODES.index("Evaluator")]
        assert dag_run.tasks_with_state("skipped") == ["Evaluator", "InfraValidator", "Pusher", "Reporter"]
        assert [version.name for version in (copy / "serving" / "toy").iterdir()] == ["1"]
        assert "the model was not blessed" in dag_run.log

    def test_bad_data_is_not_retried(self, airflow: Airflow, tmp_path: Path) -> None:
        toy.write_tsv(tmp_path / "toy.tsv", [("one side", "")] * 20)
        toy.write_config(tmp_path, toy.config())
        dag_run = airflow.run(tmp_path, BITEXT)
        assert (dag_run.state, dag_run.tasks_with_state("failed"), dag_run.tries["ExampleGen"]) == (
            "failed",
            ["ExampleGen"],
            1,
        )
        assert dag_run.tasks_with_state("upstream_failed") == NODES[1:]
        assert f"exit code {DataError.exit_code}: " in dag_run.log

    def test_a_range_of_nodes(self, airflow: Airflow, copy: Path) -> None:
        dag_run = airflow.run(
            copy, BITEXT, first="Evaluator", last="InfraValidator", force=["InfraValidator"]
        )
        assert (dag_run.state, dag_run.tasks_with_state("success")) == (
            "success",
            ["Evaluator", "InfraValidator"],
        )
        assert dag_run.tasks_with_state("skipped") == [
            *NODES[: NODES.index("Evaluator")],
            "Pusher",
            "Reporter",
        ]
        assert dag_run.cached() == ["Evaluator"]
