"""The image of workers, and the same installation in an environment without the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from docs.tools import blocks
from tests.e2e import toy
from tests.pipeline import engine_processes
from tests.pipeline.engine_processes import ROOT

DOCKERFILE = ROOT / "docker" / "worker.Dockerfile"
UV = Path(sys.executable).with_name("uv")
LOCK = ROOT / "requirements" / f"py{sys.version_info[0]}{sys.version_info[1]}.txt"


class Instruction(NamedTuple):
    """An instruction of a Dockerfile: its name and the rest of its lines."""

    name: str
    words: str


def instructions() -> list[Instruction]:
    """Parses the Dockerfile: comments left out, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8")).replace("\\\n", "")
    return [Instruction(*line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_the_instructions_are_known_and_what_is_copied_exists() -> None:
    stages = set()
    allowed = set(ignore_exceptions())
    for name, words in instructions():
        assert name in {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENTRYPOINT"}
        if name == "FROM":
            stages |= set(re.findall(r" AS (\w+)$", words))
        if name == "COPY":
            *sources, _ = words.split()
            if sources[0].startswith("--from="):
                assert sources[0].removeprefix("--from=") in stages
                continue
            assert all((ROOT / source).exists() for source in sources)
            assert set(sources) <= allowed, "the build context leaves them out"
    assert stages == {"beam", "build"}


def ignore_exceptions() -> Iterator[str]:
    """The files of the build context."""
    for line in (DOCKERFILE.parent / f"{DOCKERFILE.name}.dockerignore").read_text().splitlines():
        if line.startswith("!"):
            yield line.removeprefix("!")


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_beam_has_the_version_of_the_lock(python: str) -> None:
    lock = (ROOT / "requirements" / f"py{python.replace('.', '')}.txt").read_text(encoding="utf-8")
    [beam] = re.findall(r"(?m)^apache-beam(?:\[.*\])?==(\S+)", lock)
    text = DOCKERFILE.read_text(encoding="utf-8")
    default = dict(re.findall(r"(?m)^ARG (\w+)=(\S+)", text))
    others = [dict(re.findall(r"--build-arg (\w+)=(\S+)", line)) for line in text.splitlines()]
    choices = [default, *filter(None, others)]
    assert {"PYTHON": python, "BEAM": beam} in choices


def test_the_page_names_the_same_versions() -> None:
    page = (ROOT / "docs" / "how-to" / "beam.md").read_text(encoding="utf-8")
    arguments = re.findall(r"--build-arg \w+=\S+", DOCKERFILE.read_text(encoding="utf-8"))
    assert arguments
    assert all(argument in page for argument in arguments)


def engine_options() -> list[list[str]]:
    """The Beam options of the configurations on the page."""
    page = blocks.parse(ROOT / "docs" / "how-to" / "beam.md")
    configs = [yaml.safe_load(block.text) for block in page if block.language == "yaml"]
    return [[f"--runner={c['beam']['runner']}", *c["beam"]["options"]] for c in configs if "beam" in c]


@pytest.mark.parametrize("flags", engine_options(), ids=lambda flags: flags[0])
def test_beam_knows_the_options_of_the_page(flags: list[str]) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    flags = [*flags, "--setup_file=/checkout/setup.py", "--job_name=name"]
    known = PipelineOptions(flags).get_all_options(retain_unknown_options=False)
    every = PipelineOptions(flags).get_all_options(retain_unknown_options=True)
    assert set(every) == set(known)
    for flag in flags:
        assert flag.partition("=")[2] in map(str, known.values())


def test_an_option_that_beam_does_not_know_is_found() -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    flags = ["--flink_mastre=a"]
    assert "flink_mastre" in PipelineOptions(flags).get_all_options(retain_unknown_options=True)
    assert "flink_mastre" not in PipelineOptions(flags).get_all_options(retain_unknown_options=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs the Dockerfile without Docker and without a network; returns the interpreter of the result.

    `/src` is a folder with the copied files, and `python` that of a new virtual environment. Packages come
    from uv's cache, which `make setup` has filled.
    """
    folder = tmp_path_factory.mktemp("image")
    source, environment = folder / "src", folder / "environment"
    source.mkdir()
    base = Path(getattr(sys, "_base_executable", sys.executable))
    subprocess.run([UV, "venv", "--quiet", "--seed", "--offline", "--python", base, environment], check=True)
    variables = {
        "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", str(folder)),
        "UV_OFFLINE": "1",
        **{name: value for name, value in os.environ.items() if name == "UV_CACHE_DIR"},
    }
    for name, words in build_stage():
        if name == "COPY":
            *sources, target = words.split()
            for each in sources:
                copy(ROOT / each, source / (each if target == "./" else target))
        if name == "RUN":
            script = words.replace("tools/bin/pip install", without_network(source))
            subprocess.run(["sh", "-euc", script], cwd=source, env=variables, check=True)
    return environment / "bin" / "python"


def build_stage() -> list[Instruction]:
    """The instructions of the stage that builds the environment."""
    every = instructions()
    first = next(i for i, each in enumerate(every) if each.words.endswith(" AS build"))
    last = next(i for i, each in enumerate(every) if i > first and each.name == "FROM")
    return every[first + 1 : last]


def copy(source: Path, target: Path) -> None:
    """Copies as `COPY` does: links stay links."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def without_network(source: Path) -> str:
    """The command that installs uv in `tools`: uv itself, with the same options, takes it from its cache."""
    return f"{UV} pip install --python {source / 'tools' / 'bin' / 'python'}"


@pytest.mark.slow
class TestInstallation:
    """What the Dockerfile installs, on a worker without the checkout."""

    def test_has_the_versions_of_the_lock_and_no_tools(self, image: Path) -> None:
        listed = subprocess.run(
            [UV, "pip", "freeze", "--python", image], capture_output=True, text=True, check=True
        ).stdout
        installed = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", listed))
        locked = dict(re.findall(r"(?m)^([\w.-]+)(?:\[.*\])?==(\S+)", LOCK.read_text(encoding="utf-8")))
        seeds = {"pip", "setuptools", "wheel"}
        assert {n: v for n, v in installed.items() if n not in seeds and locked.get(n) != v} == {}
        assert {"tensorflow", "apache-beam", "tensorflow-transform"} <= set(installed)
        assert not {"mypy", "pytest", "playwright"} & set(installed)

    def test_example_gen_runs_with_a_pool_of_it(self, image: Path, tmp_path: Path) -> None:
        toy.write_tsv(tmp_path / "toy.tsv", toy.sentences())
        with (
            engine_processes.job_service(tmp_path / "service") as service,
            engine_processes.worker_pool(tmp_path / "pool", image) as pool,
        ):
            beam = {"runner": "PortableRunner", "options": engine_processes.options(service, pool)}
            for root, changes in (("engine", {"beam": beam}), ("process", {})):
                (tmp_path / f"{root}.yaml").write_text(yaml.safe_dump(toy.config(root=root, **changes)))
                run(tmp_path, f"{root}.yaml")
        assert contents(tmp_path / "engine" / "ExampleGen") == contents(tmp_path / "process" / "ExampleGen")

    def test_setup_file_stages_the_same_files(self, image: Path, tmp_path: Path) -> None:
        from apache_beam.runners.portability.stager import Stager

        source = image.parents[2] / "src"
        with tarfile.open(Stager._build_setup_package(str(source / "setup.py"), str(tmp_path))) as archive:
            files = {m.name.partition("/")[2]: archive.extractfile(m) for m in archive if m.isfile()}
            staged = {name: file.read() for name, file in files.items() if file is not None}
        [path] = (source / "dist").glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.startswith("bitext/")]
            assert len(names) > 400
            assert {name: staged.get(name) for name in names} == {name: wheel.read(name) for name in names}

    @pytest.mark.parametrize("change", ["version", "code", "module"])
    def test_another_installation_is_refused(self, change: str, image: Path, tmp_path: Path) -> None:
        """A worker sees another folder with bitext, or without it, before that of the image."""
        other = tmp_path / "other"
        [wheel] = (image.parents[2] / "src" / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(other)
        [metadata] = other.glob("bitext-*.dist-info/METADATA")
        version = importlib.metadata.version("bitext")
        if change == "version":
            metadata.write_text(metadata.read_text().replace(f"Version: {version}", "Version: 0.0.1"))
            said = f"bitext 0.0.1, here {version}"
        elif change == "code":
            with (other / "bitext" / "components" / "component.py").open("a") as file:
                file.write("# changed\n")
            said = "the same version of bitext with other source code"
        else:
            (other / "bitext" / "components" / "example_gen" / "writing.py").unlink()
            said = "cannot import bitext.components.example_gen.writing, which is installed here"
        toy.write_tsv(tmp_path / "toy.tsv", toy.sentences())
        with (
            engine_processes.job_service(tmp_path / "service") as service,
            engine_processes.worker_pool(tmp_path / "pool", image, PYTHONPATH=str(other)) as pool,
        ):
            beam = {"runner": "PortableRunner", "options": engine_processes.options(service, pool)}
            (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toy.config(beam=beam)))
            text = run(tmp_path, "toy.yaml", 6)
        assert said in text
        assert "Traceback" not in text


def run(folder: Path, config: str, code: int = 0) -> str:
    """Runs ExampleGen and returns what is printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bitext", "run", config, "--to", "ExampleGen"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    """The content of all files below a folder."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
