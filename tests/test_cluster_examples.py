"""The Kubernetes manifest and the Slurm script start each process with a TF_CONFIG that bitext reads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bitext.components.trainer import cluster
from bitext.pipeline import cli

EXAMPLES = Path(__file__).parents[1] / "examples"
BITEXT = """#!/bin/sh
printf '%s\\n' "$TF_CONFIG" "$@" > "$OUT/process-$(printf %s "$TF_CONFIG" | tr -dc 0-9 | tail -c 1)"
exit ${CODE:-0}
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH with a `bitext` that writes TF_CONFIG and its arguments to files of `tmp_path`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    write_program(folder / "bitext", BITEXT)
    return folder


def write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def run(programs: Path, command: list[str], **variables: str) -> int:
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "OUT": str(programs.parent), **variables}
    return subprocess.run(command, env=environment, check=False).returncode


def started(programs: Path, index: int, workers: int) -> tuple[cluster.Cluster, list[str]]:
    """Returns the cluster and the arguments that a process was started with."""
    tf_config, *arguments = (programs.parent / f"process-{index}").read_text(encoding="utf-8").splitlines()
    cli.build_parser().parse_args(arguments)
    return cluster.from_environment(workers, {"TF_CONFIG": tf_config}), arguments


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    documents = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


class TestKubernetes:
    def test_the_pods_find_one_another(self, manifest):
        service, job = manifest["Service"], manifest["Job"]
        spec = job["spec"]
        assert spec["completionMode"] == "Indexed"
        assert service["metadata"]["name"] == spec["template"]["spec"]["subdomain"] == job["metadata"]["name"]
        assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
        assert service["spec"]["clusterIP"] == "None"
        [container] = spec["template"]["spec"]["containers"]
        workers = next(int(v["value"]) for v in container["env"] if v["name"] == "WORKERS")
        assert workers == spec["completions"] == spec["parallelism"]
        # `podFailurePolicy` needs pods that are not started again in place.
        assert spec["template"]["spec"]["restartPolicy"] == "Never"
        for rule in spec["podFailurePolicy"]["rules"]:
            assert rule.get("onExitCodes", {}).get("containerName", container["name"]) == container["name"]

    @pytest.mark.parametrize("index", range(4))
    def test_each_pod_starts_its_process(self, manifest, programs, index):
        spec = manifest["Job"]["spec"]["template"]["spec"]
        [container] = spec["containers"]
        variables = {v["name"]: v["value"] for v in container["env"]} | {"JOB_COMPLETION_INDEX": str(index)}
        assert run(programs, container["command"], **variables) == 0
        own, arguments = started(programs, index, 4)
        name, [port] = manifest["Job"]["metadata"]["name"], container["ports"]
        hosts = [f"{name}-{i}.{spec['subdomain']}:{port['containerPort']}" for i in range(4)]
        assert own == cluster.Cluster(tuple(hosts), index)
        assert arguments[0] == ("train-worker" if index else "run")
        assert arguments[-1] == "trainer.distribute.workers=4"

    @pytest.mark.parametrize(("code", "ended"), [(4, 0), (6, 1), (3, 1)])
    def test_a_refused_model_is_no_failure_of_the_chief(self, manifest, programs, code, ended):
        [container] = manifest["Job"]["spec"]["template"]["spec"]["containers"]
        variables = {"WORKERS": "2", "CONFIG": "c.yaml", "JOB_COMPLETION_INDEX": "0", "CODE": str(code)}
        assert run(programs, container["command"], **variables) == ended


SRUN = """#!/bin/sh
[ "$1" = --kill-on-bad-exit=0 ] || exit 9
shift
highest=0
for SLURM_PROCID in 0 1 2; do
  export SLURM_PROCID
  code=0
  "$@" || code=$?
  [ $code -le $highest ] || highest=$code
done
exit $highest
"""
SCONTROL = """#!/bin/sh
if [ "$1 $2" = "show hostnames" ]; then printf 'node1\\nnode2\\nnode7\\n'; fi
if [ "$1" = requeue ]; then echo "$2" > "$OUT/requeued"; fi
"""


class TestSlurm:
    @pytest.fixture
    def slurm(self, programs) -> Path:
        write_program(programs / "srun", SRUN)
        write_program(programs / "scontrol", SCONTROL)
        return programs

    def submit(self, slurm: Path, code: int = 0) -> int:
        variables = {"SLURM_JOB_ID": "41234", "SLURM_JOB_NODELIST": "node[1-2,7]", "SLURM_NTASKS": "3"}
        script = ["bash", str(EXAMPLES / "slurm.sh"), "my config.yaml"]
        return run(slurm, script, CODE=str(code), **variables)

    def test_each_node_starts_its_process(self, slurm):
        assert self.submit(slurm) == 0
        for index in range(3):
            own, arguments = started(slurm, index, 3)
            assert own == cluster.Cluster(("node1:21234", "node2:21234", "node7:21234"), index)
            assert arguments[:2] == ["train-worker" if index else "run", "my config.yaml"]
            assert arguments[-1] == "trainer.distribute.workers=3"
        assert not (slurm.parent / "requeued").exists()

    def test_a_fault_of_the_environment_is_tried_again_and_no_other(self, slurm):
        assert self.submit(slurm, 3) == 3
        assert not (slurm.parent / "requeued").exists()
        assert self.submit(slurm, 6) == 6
        assert (slurm.parent / "requeued").read_text(encoding="utf-8") == "41234\n"
