"""The pipeline as an Airflow DAG with one task per component.

It needs Airflow 2.10 or newer, or 3, in an environment of its own: this file imports nothing of bitext, and
each task runs `bitext run CONFIG --from NODE --to NODE` as a process. A node that only some configurations
have is run by the task of the node after it. Link the file into Airflow's `dags` folder:

    ln -s /srv/bitext/pipeline/airflow_dag.py ~/airflow/dags/bitext.py

The environment of Airflow (scheduler, DAG processor and workers) may set (defaults in brackets):

    BITEXT_HOME           the folder the command starts in (the checkout that this file is in)
    BITEXT_COMMAND        the command, with a prefix if necessary (BITEXT_HOME/.venv/bin/bitext)
    BITEXT_CONFIGS        configurations, each a DAG `bitext_<file name>` (pipeline/configs/tatoeba.yaml)
    BITEXT_SCHEDULE       cron expression or preset; empty for none (0 2 * * *)
    BITEXT_RETRIES        retries of a task, after errors that a retry can fix (3)
    BITEXT_RETRY_MINUTES  minutes between retries (10)

A run has the parameters `first` and `last`, the first and last node, and `force`, nodes that run even if they
are cached. Tasks of other nodes are skipped. If the model is refused (exit code 4), the Evaluator's task and
all tasks after it are skipped: they get the same answer. Nothing is pushed, and the run does not fail.
"""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    from airflow.sdk import DAG, BaseOperator, Param
except ImportError:  # Airflow 2
    from airflow.models import DAG, BaseOperator, Param
try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
except ImportError:  # Airflow before 3.2
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException

NODES = (
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Evaluator",
    "InfraValidator",
    "Pusher",
    "Reporter",
)
FIRST_NODES = {"ExampleGen": "", "ExampleValidator": "SchemaGen", "Transform": "ExampleValidator"}
"""The value of `--from` for tasks that run optional nodes too; empty: no `--from`.

GoldenGen is an optional node before ExampleGen. RequestStatistics is an optional node between SchemaGen,
which is cached by then, and ExampleValidator. Those of `augmentation` are between ExampleValidator, which is
cached by then, and Transform.
"""
HOME = Path(os.environ.get("BITEXT_HOME") or Path(__file__).resolve().parents[1])
COMMAND = shlex.split(os.environ.get("BITEXT_COMMAND") or shlex.quote(f"{HOME}/.venv/bin/bitext"))
CONFIGS = shlex.split(os.environ.get("BITEXT_CONFIGS") or "pipeline/configs/tatoeba.yaml")
REFUSED = 4
"""The exit code of a complete run whose model was refused."""
NOT_RETRIED = (2, 3, 7)
"""Exit codes after which a retry does not help: configuration, data, diverged training."""


class BitextOperator(BaseOperator):  # type: ignore[misc]  # Airflow is in another environment
    """Runs one node, which has the name of the task.

    Args:
      config: the configuration file; a relative path is relative to BITEXT_HOME.
      operator_arguments: arguments of Airflow's operators.
    """

    process: subprocess.Popen[str] | None = None

    def __init__(self, *, config: str, **operator_arguments: Any):
        super().__init__(**operator_arguments)
        self.config = config

    def execute(self, context: Mapping[str, Any]) -> None:
        """Runs the command and logs its output.

        Raises:
          AirflowSkipException: the node is not between `first` and `last`, or the model was refused.
          AirflowFailException: an error that a retry cannot fix.
          AirflowException: any other error.
        """
        options = self._options(context["params"])
        command = [*COMMAND, "run", self.config, *options]
        self.log.info("in %s: %s", HOME, shlex.join(command))
        try:
            code, error = self._run(command)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as fault:
            raise AirflowFailException(
                f"the command cannot be started: {fault}. Set BITEXT_HOME or BITEXT_COMMAND"
            ) from fault
        if code == REFUSED:
            raise AirflowSkipException(error)
        if code in NOT_RETRIED:
            raise AirflowFailException(f"exit code {code}: {error}")
        if code != 0:
            raise AirflowException(f"exit code {code}: {error}")

    def _options(self, params: Mapping[str, Any]) -> list[str]:
        """The options of the command for the parameters of the run."""
        first, last, force = params["first"], params["last"], params["force"]
        selected = NODES[NODES.index(first) : NODES.index(last) + 1]
        if not selected:
            raise AirflowFailException(f"first, {first}, comes after last, {last}")
        if outside := [node for node in force if node not in selected]:
            raise AirflowFailException(f"force names {', '.join(outside)}; the run has {', '.join(selected)}")
        if self.task_id not in selected:
            raise AirflowSkipException(f"the run is from {first} to {last}")
        first_node = FIRST_NODES.get(self.task_id, self.task_id)
        return [
            *(["--from", first_node] if first_node else []),
            "--to",
            self.task_id,
            *(["--force", self.task_id] if self.task_id in force else []),
        ]

    def _run(self, command: list[str]) -> tuple[int, str]:
        """Runs the command and returns its exit code and its error message.

        It runs in a session of its own: Airflow signals whole process groups, and the command itself ends the
        processes that it started.
        """
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.process = process = subprocess.Popen(
            command,
            cwd=HOME,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        with process:
            try:
                error = self._log_output(process)
            except BaseException:  # Airflow's timeout, or a user ends the task
                self.on_kill()
                self._log_output(process)
                raise
        return process.returncode, error

    def _log_output(self, process: subprocess.Popen[str]) -> str:
        """Logs each line of the process until it ends, and returns the last error message."""
        error = ""
        for line in process.stdout or ():
            self.log.info("%s", line.rstrip("\n"))
            if line.startswith("error: "):
                error = line.removeprefix("error: ").strip()
        return error

    def on_kill(self) -> None:
        """Terminates the command. It sends one signal only: a second one would interrupt the clean-up."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()


def create_dag(config: str) -> DAG:
    """Creates a DAG with one task per node, in a chain, because a run locks the pipeline root."""
    with DAG(
        f"bitext_{Path(config).stem}",
        description=f"bitext run {config}",
        doc_md=__doc__,
        schedule=os.environ.get("BITEXT_SCHEDULE", "0 2 * * *") or None,
        start_date=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        catchup=False,
        max_active_runs=1,
        default_args={
            "retries": int(os.environ.get("BITEXT_RETRIES") or 3),
            "retry_delay": datetime.timedelta(minutes=float(os.environ.get("BITEXT_RETRY_MINUTES") or 10)),
            "trigger_rule": "none_failed",  # tasks before `first` are skipped, but not those after them
        },
        params={
            "first": Param(NODES[0], "The first node to run.", type="string", enum=list(NODES)),
            "last": Param(NODES[-1], "The last node to run.", type="string", enum=list(NODES)),
            "force": Param([], "Nodes that run even if they are cached.", type="array", examples=list(NODES)),
        },
        tags=["bitext"],
    ) as dag:
        previous = None
        for node in NODES:
            task = BitextOperator(task_id=node, config=config)
            if previous is not None:
                previous >> task
            previous = task
    return dag


DAGS = [create_dag(config) for config in CONFIGS]  # Airflow finds DAGs in module variables
