"""The pipeline as an Airflow DAG, one task a component, and what its exit codes mean to Airflow.

For Airflow 2.10 or newer, or 3, in an environment of its own: this file imports nothing of ours, and each
task runs `bitext run CONFIG --from NODE --to NODE` as a process. The nodes that only some configurations have
are done by the task after them. Link the file into Airflow's `dags` folder:

    ln -s /srv/bitext/pipeline/airflow_dag.py ~/airflow/dags/bitext.py

The environment of Airflow (scheduler, DAG processor and workers) may set:

    BITEXT_HOME           where the command starts; its .venv has the command (the checkout this file is in)
    BITEXT_COMMAND        the command, with words before it if need be (BITEXT_HOME/.venv/bin/bitext)
    BITEXT_CONFIGS        configurations, a DAG `bitext_<file name>` each (pipeline/configs/tatoeba.yaml)
    BITEXT_SCHEDULE       cron expression or preset; empty for none (0 2 * * *)
    BITEXT_RETRIES        how often a task is tried again, where that can help (3)
    BITEXT_RETRY_MINUTES  how long it waits before (10)

A run takes the parameters `first` and `last`, the nodes to begin and to end with, and `force`, nodes that run
though cached. Nodes outside are skipped. A model that was refused (exit code 4) skips too: the Evaluator and
the tasks after it, which ask again and are told the same, are skipped, nothing is pushed, and the run did
not fail.
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
)
# What a task begins with, where it is not its own node: a golden set may come first of all, and statistics of
# the log of requests after SchemaGen, which is cached by then.
BEGIN = {"ExampleGen": "", "ExampleValidator": "SchemaGen"}
HOME = Path(os.environ.get("BITEXT_HOME") or Path(__file__).resolve().parents[1])
COMMAND = shlex.split(os.environ.get("BITEXT_COMMAND") or shlex.quote(f"{HOME}/.venv/bin/bitext"))
CONFIGS = shlex.split(os.environ.get("BITEXT_CONFIGS") or "pipeline/configs/tatoeba.yaml")
REFUSED = 4
FOR_A_PERSON = (2, 3, 7)  # the configuration, the data, the training: another try ends the same


class BitextOperator(BaseOperator):  # type: ignore[misc]  # Airflow is in another environment
    """Runs one node, which is the task's name.

    Args:
      config: the configuration file, seen from BITEXT_HOME.
      others: of Airflow's operators.
    """

    process: subprocess.Popen[str] | None = None

    def __init__(self, *, config: str, **others: Any):
        super().__init__(**others)
        self.config = config

    def execute(self, context: Mapping[str, Any]) -> None:
        """Runs the command to its end; its output is the task's log.

        Raises:
          AirflowSkipException: if the node is outside the run's range, or the model was refused.
          AirflowFailException: if another try cannot help.
          AirflowException: if it can.
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
        if code in FOR_A_PERSON:
            raise AirflowFailException(f"exit code {code}: {error}")
        if code != 0:
            raise AirflowException(f"exit code {code}: {error}")

    def _options(self, params: Mapping[str, Any]) -> list[str]:
        """Those of the command, after the run's parameters."""
        first, last, force = params["first"], params["last"], params["force"]
        chosen = NODES[NODES.index(first) : NODES.index(last) + 1]
        if not chosen:
            raise AirflowFailException(f"first, {first}, comes after last, {last}")
        if outside := [node for node in force if node not in chosen]:
            raise AirflowFailException(f"force names {', '.join(outside)}; the run has {', '.join(chosen)}")
        if self.task_id not in chosen:
            raise AirflowSkipException(f"the run is from {first} to {last}")
        begin = BEGIN.get(self.task_id, self.task_id)
        return [
            *(["--from", begin] if begin else []),
            "--to",
            self.task_id,
            *(["--force", self.task_id] if self.task_id in force else []),
        ]

    def _run(self, command: list[str]) -> tuple[int, str]:
        """Runs the command, and returns its exit code and the line that says what went wrong.

        The session is its own, for Airflow signals whole process groups, and the command ends its helpers.
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
            except BaseException:  # Airflow's word that time is up, or that the task is to end
                self.on_kill()
                self._log_output(process)
                raise
        return process.returncode, error

    def _log_output(self, process: subprocess.Popen[str]) -> str:
        """Logs every line until the process has no more to say, and returns the last that tells an error."""
        error = ""
        for line in process.stdout or ():
            self.log.info("%s", line.rstrip("\n"))
            if line.startswith("error: "):
                error = line.removeprefix("error: ").strip()
        return error

    def on_kill(self) -> None:
        """Has the command end, once: it tidies up, and a second signal would interrupt that."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()


def create_dag(config: str) -> DAG:
    """One task a node, in a chain: a run of the pipeline holds a lock, so no two nodes run at once."""
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
            "trigger_rule": "none_failed",  # nodes before `first` are skipped, and those after them are not
        },
        params={
            "first": Param(NODES[0], "Begin with this node.", type="string", enum=list(NODES)),
            "last": Param(NODES[-1], "End with this node.", type="string", enum=list(NODES)),
            "force": Param([], "Run these though they are cached.", type="array", examples=list(NODES)),
        },
        tags=["bitext"],
    ) as dag:
        before = None
        for node in NODES:
            task = BitextOperator(task_id=node, config=config)
            if before is not None:
                before >> task
            before = task
    return dag


DAGS = [create_dag(config) for config in CONFIGS]  # Airflow finds them by itself
