"""The rules of the house, read off the source: which way imports point, what the front door may load."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from bitext.components.artifacts import KINDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "components", "schemas")
HEAVY = {
    "apache_beam",
    "keras",
    "ml_metadata",
    "pandas",
    "pyarrow",
    "tensorflow",
    "tensorflow_data_validation",
    "tensorflow_metadata",
    "tensorflow_serving",
    "tensorflow_transform",
    "tf_keras",
    "tfx_bsl",
}
INTERPRETERS = ("3.11", "3.12", "3.13")


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes:
      module: the file, dotted: `bitext.components.transform.executor`.
      name: what it imports, dotted to the last name: `apache_beam.runners.direct`.
      line: where.
      on_import: whether importing the module runs it: not in a function, not under TYPE_CHECKING.
    """

    module: str
    name: str
    line: int
    on_import: bool

    def is_within(self, *names: str) -> bool:
        return any(self.name == name or self.name.startswith(f"{name}.") for name in names)

    def __str__(self) -> str:
        return f"{self.module} (line {self.line}) imports {self.name}"


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = ("bitext", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_subpackage_of(beam_names: set[str], node: ast.AST) -> TypeGuard[ast.Attribute]:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in beam_names
        and node.attr in ("runners", "options")
    )


def imports_of(tree: ast.Module, module: str, is_package: bool) -> Iterator[Import]:
    """Every import in a module, relative ones resolved, attribute use of Beam's subpackages included."""
    beam_names: set[str] = set()

    def visit(node: ast.AST, on_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "apache_beam":
                    beam_names.add(alias.asname or alias.name)
                yield Import(module, alias.name, node.lineno, on_import)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, f"{base}.{alias.name}", node.lineno, on_import)
        elif _is_subpackage_of(beam_names, node):
            yield Import(module, f"apache_beam.{node.attr}", node.lineno, on_import)  # type: ignore[attr-defined]
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from visit(child, False)
            for child in node.orelse:
                yield from visit(child, on_import)
            return
        for inner in ast.iter_child_nodes(node):
            yield from visit(inner, on_import and not deferred)

    yield from visit(tree, True)


@functools.cache
def all_imports() -> list[Import]:
    return [
        found
        for path in sources()
        for found in imports_of(
            ast.parse(path.read_text(encoding="utf-8")), dotted(path), path.name == "__init__.py"
        )
    ]


def steps() -> list[str]:
    """Names of the packages that declare a component (`class ExampleGen(Component[Parameters])`)."""
    return [
        path.parent.name
        for path in sorted((ROOT / "components").glob("*/__init__.py"))
        if any(
            isinstance(node, ast.ClassDef) and any("Component" in ast.unparse(base) for base in node.bases)
            for node in ast.parse(path.read_text(encoding="utf-8")).body
        )
    ]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


def broken(imports: Iterable[Import]) -> str:
    return "\n".join(str(found) for found in imports)


def target_module(name: str, modules: set[str]) -> str:
    """The module of this project that an imported name lies in; empty for names of other packages."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def circles(imported: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Sets of modules that import each other, directly or not."""
    reached = {module: set(others) for module, others in imported.items()}
    for middle in reached:
        for others in reached.values():
            if middle in others:
                others |= reached[middle]
    in_circle = [module for module in sorted(reached) if module in reached[module]]
    members = [
        {other for other in in_circle if module in reached[other] and other in reached[module]}
        for module in in_circle
    ]
    return [circle for index, circle in enumerate(members) if circle not in members[:index]]


class TestReadingImports:
    """The reader itself, on sources where the answer is known."""

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("import a.b", [("a.b", True)]),
            ("from a import b, c", [("a.b", True), ("a.c", True)]),
            ("from . import errors", [("p.q.errors", True)]),
            ("from ..x import y", [("p.x.y", True)]),
            ("def f():\n  import a", [("a", False)]),
            ("class C:\n  import a", [("a", True)]),
            ("if TYPE_CHECKING:\n  import a\nelse:\n  import b", [("a", False), ("b", True)]),
            (
                "import apache_beam as beam\nbeam.options",
                [("apache_beam", True), ("apache_beam.options", True)],
            ),
        ],
    )
    def test_names_and_when(self, source: str, expected: list[tuple[str, bool]]) -> None:
        found = imports_of(ast.parse(source), "p.q.m", is_package=False)
        assert [(one.name, one.on_import) for one in found] == expected

    def test_relative_import_in_a_package(self) -> None:
        (found,) = imports_of(ast.parse("from . import m"), "p.q", is_package=True)
        assert found.name == "p.q.m"


class TestDirection:
    def test_there_is_something_to_read(self) -> None:
        assert len(sources()) > 20
        assert {"example_gen", "transform", "trainer", "pusher"} <= set(steps())

    def test_components_know_nothing_of_the_pipeline(self) -> None:
        components = (one for one in all_imports() if one.module.startswith("bitext.components"))
        assert not broken(one for one in components if one.is_within("bitext.pipeline"))

    def test_schemas_know_of_nothing_above_them(self) -> None:
        wrong = (
            one
            for one in all_imports()
            if one.module.startswith("bitext.schemas")
            and one.is_within("bitext.pipeline", "bitext.components")
        )
        assert not broken(wrong)

    def test_no_component_knows_another(self) -> None:
        """Steps may share `text`, `seq2seq` and `shared`; those know no step."""
        wrong = (
            one
            for one in all_imports()
            if one.module.startswith("bitext.components")
            and one.is_within(*(f"bitext.components.{step}" for step in steps()))
            and one.name.split(".")[2] != one.module.split(".")[2]
        )
        assert not broken(wrong)

    def test_an_example_needs_nothing_of_this_project(self) -> None:
        examples = sorted((ROOT / "examples").glob("*.py"))
        assert len(examples) == 3
        wrong = (
            one
            for path in examples
            for one in imports_of(ast.parse(path.read_text(encoding="utf-8")), path.stem, is_package=False)
            if one.is_within("bitext", *PACKAGES, "tests")
        )
        assert not broken(wrong)

    def test_packages_are_imported_from_bitext(self) -> None:
        """`pipeline` beside `bitext.pipeline` would be a second copy of each module."""
        assert not broken(one for one in all_imports() if one.is_within(*PACKAGES))

    def test_there_is_no_import_circle(self) -> None:
        """Imports in functions and for type checking count, but for those by which a package's own
        declaration reaches its work: `run` of a component."""
        imported: dict[str, set[str]] = {dotted(path): set() for path in sources()}
        modules = set(imported)
        for one in all_imports():
            target = target_module(one.name, modules)
            is_deferred_work = not one.on_import and target.startswith(f"{one.module}.")
            if target and target != one.module and not is_deferred_work:
                imported[one.module].add(target)
        assert not circles(imported)

    def test_a_circle_is_found(self) -> None:
        assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]

    def test_the_application_imports_no_tests(self) -> None:
        assert not broken(one for one in all_imports() if one.is_within("tests", "pytest", "hypothesis"))


class TestOneUser:
    """Libraries and packages that only one package of this project imports."""

    def test_of_ml_metadata(self) -> None:
        users = {one.module for one in all_imports() if one.is_within("ml_metadata")}
        assert users
        assert all(user.startswith("bitext.pipeline.store.") for user in users)

    def test_of_beam_runners_and_options(self) -> None:
        inner = ("apache_beam.runners", "apache_beam.options")
        assert {one.module for one in all_imports() if one.is_within(*inner)} == {"bitext.pipeline.beam"}

    def test_only_the_graph_knows_components_by_name(self) -> None:
        """The modules that run nodes know the interface of a component, and no component."""
        rooms = ("plan", "lookup", "runner", "publish", "recovery", "layout", "cache_keys", "records")
        modules = {f"bitext.pipeline.{room}" for room in rooms}
        assert modules <= {dotted(path) for path in sources()}
        known = [f"bitext.components.{step}" for step in steps()]
        assert not broken(one for one in all_imports() if one.module in modules and one.is_within(*known))


class TestSizes:
    """A module is read in one sitting, a function on one screen."""

    LONGEST_MODULE = 350
    LONGEST_FUNCTION = 60

    def test_of_modules(self) -> None:
        lengths = {dotted(p): len(p.read_text(encoding="utf-8").splitlines()) for p in sources()}
        assert len(lengths) > 100
        assert {name: n for name, n in lengths.items() if n > self.LONGEST_MODULE} == {}

    def test_of_functions(self) -> None:
        lengths = {
            f"{dotted(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
            for path in sources()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert len(lengths) > 500
        assert {name: n for name, n in lengths.items() if n > self.LONGEST_FUNCTION} == {}


def test_nothing_removed_from_tensorflow_is_used() -> None:
    """Neither what TensorFlow 2 and Keras 3 took away, nor the module that keeps its remains."""
    removed = re.compile(
        r"\b(?:tf|tensorflow)\.(?:compat\.v1|contrib|placeholder|Session|get_variable)\b"
        r"|\b(?:dynamic_rnn|rnn_cell)\b|compat import v1|\bRNN\(.*constants="
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if removed.search(line)
    ]
    assert not found
    for line in (
        "x = tf.compat.v1.placeholder(tf.float32)",
        "from tensorflow.compat import v1",
        "cell = tf.nn.rnn_cell.LSTMCell(3)",
        "keras.layers.RNN(cell)(x, constants=[memory])",
    ):
        assert removed.search(line)


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and value of every text in a module but docstrings and other texts that stand alone."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def spells(text: str, name: str) -> bool:
    """Whether a text has the name of a file in it: a word with a dot, else a whole part of a path."""
    if name.endswith("-"):  # the beginning of a name
        return any(part.startswith(name) for part in text.split("/"))
    return (
        bool(re.search(rf"(?<![\w.-]){re.escape(name)}(?!\w)", text))
        if "." in name
        else name in text.split("/")
    )


class TestArtifactsOwnTheirFiles:
    """No module outside `components/artifacts/` spells the name of a file of an artifact."""

    NAMES = sorted({name for kind in KINDS for name in kind.FILES})
    # It runs in a process that has stock TensorFlow alone.
    EXEMPT = ("components/infra_validator/standalone.py",)

    @pytest.mark.parametrize(
        ("text", "name", "expected"),
        [
            ("metrics.json", "metrics.json", True),
            ("the file metrics.json, which", "metrics.json", True),
            ("Split-train/FeatureStats.pb", "FeatureStats.pb", True),
            ("bitext.json", "text.json", False),
            ("/BLESSED", "BLESSED", True),
            ("BLESSED BY FORCE", "BLESSED", False),
            ("data_tfrecord-*.gz", "data_tfrecord-", True),
            ("transformed_examples", "transformed_examples-", False),
        ],
    )
    def test_the_search_itself(self, text: str, name: str, expected: bool) -> None:
        assert spells(text, name) == expected

    def test_nobody_else_spells_them(self) -> None:
        assert {"metrics.json", "pushed.json", "BLESSED", "weights.npz", "bitext.json"} <= set(self.NAMES)
        spelled = [
            f"{path.relative_to(ROOT)}:{line}: {name}"
            for path in sources()
            if not path.is_relative_to(ROOT / "components" / "artifacts")
            if path.relative_to(ROOT).as_posix() not in self.EXEMPT
            for line, text in literals(ast.parse(path.read_text(encoding="utf-8")))
            for name in self.NAMES
            if spells(text, name)
        ]
        assert not spelled, "\n".join(spelled)


class TestLightFrontDoor:
    def test_declarations_name_nothing_heavy(self) -> None:
        light = {
            "bitext.pipeline",
            "bitext.pipeline.cli",
            "bitext.pipeline.records",
            "bitext.pipeline.layout",
            "bitext.components",
            "bitext.components.artifacts",
            *(f"bitext.components.{step}" for step in steps()),
        }
        loaded = (one for one in all_imports() if one.module in light and one.on_import)
        assert not broken(one for one in loaded if one.is_within(*HEAVY))

    @pytest.mark.parametrize(
        "module",
        [
            "bitext.pipeline.cli",
            "bitext.components.artifacts",
            "bitext.pipeline.graph",
            "bitext.pipeline.records",
            *(f"bitext.components.{step}" for step in steps()),
        ],
    )
    def test_importing_it_loads_nothing_heavy(self, module: str) -> None:
        process = run_python(f"import {module}, sys; print(*sorted({HEAVY} & set(sys.modules)))")
        assert process.returncode == 0, process.stderr
        assert process.stdout.split() == []


class TestLocks:
    """requirements/py3*.txt against setup.py."""

    @staticmethod
    def pins(python: str) -> dict[str, Version]:
        text = (ROOT / "requirements" / f"py{python.replace('.', '')}.txt").read_text(encoding="utf-8")
        lines = [line.split() for line in text.splitlines() if line and line[0] not in " #"]
        assert all("==" in line[0] and line[-1] == "\\" for line in lines), "no exact version, or no hash"
        return {line[0].split("==")[0]: Version(line[0].split("==")[1]) for line in lines}

    @pytest.mark.parametrize("python", INTERPRETERS)
    def test_honours_the_ranges_of_setup_py(self, python: str) -> None:
        declared = runpy.run_path(str(ROOT / "setup.py"))
        pins = self.pins(python)
        applied = 0
        for requirement in map(Requirement, declared["REQUIREMENTS"] + declared["DEV"]):
            if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
                continue
            applied += 1
            assert pins[requirement.name.lower()] in requirement.specifier, str(requirement)
        assert applied > 20

    @pytest.mark.parametrize("python", INTERPRETERS)
    def test_names_no_host(self, python: str) -> None:
        text = (ROOT / "requirements" / f"py{python.replace('.', '')}.txt").read_text(encoding="utf-8")
        assert "://" not in text


class TestNoNetwork:
    """The guard in conftest.py, tried in a pytest of its own."""

    SOURCE = """
        import socket

        def test_swallowed_attempt():
            with socket.socket() as client:
                try:
                    client.connect(("host.invalid", 80))
                except OSError:
                    pass

        def test_loopback():
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(server.getsockname()).close()
    """

    def test_an_attempt_fails_the_test_and_loopback_does_not(self, tmp_path: Path) -> None:
        (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
        (tmp_path / "test_it.py").write_text(textwrap.dedent(self.SOURCE))
        process = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "2 passed, 1 error" in process.stdout, process.stdout
        assert "this one tried to connect to ('host.invalid', 80)" in process.stdout
