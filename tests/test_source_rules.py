"""Rules 1 to 6 of CONTRIBUTING.md: imports, artifact file names, light start, sizes and locked versions."""

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

from bitext.components.artifacts import KINDS, PushedModel
from bitext.components.artifacts.blessing import Blessing

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "components", "schemas")
HEAVY_LIBRARIES = {
    "apache_beam",
    "keras",
    "ml_metadata",
    "numpy",
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
      module: the importing module: `bitext.components.transform.executor`.
      name: the full imported name: `apache_beam.runners.direct`.
      line: the line number.
      on_import: whether it runs when the module is imported: not in a function, not under TYPE_CHECKING.
    """

    module: str
    name: str
    line: int
    on_import: bool

    def is_within(self, *names: str) -> bool:
        """Whether the imported name is one of these modules or below one of them."""
        return any(self.name == name or self.name.startswith(f"{name}.") for name in names)

    def __str__(self) -> str:
        return f"{self.module} (line {self.line}) imports {self.name}"


def source_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
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
    """Yields every import in a module. An access to `beam.runners` or `beam.options` is an import too."""
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
        imported
        for path in source_files()
        for imported in imports_of(
            ast.parse(path.read_text(encoding="utf-8")), module_name(path), path.name == "__init__.py"
        )
    ]


def component_packages() -> list[str]:
    """Returns the packages that declare a component (`class ExampleGen(Component[Parameters])`)."""
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


def listing(imports: Iterable[Import]) -> str:
    """Returns one line for each import, for the message of a failed assertion."""
    return "\n".join(map(str, imports))


def target_module(name: str, modules: set[str]) -> str:
    """Returns the module of this project that an imported name is in; empty for other packages."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def import_cycles(targets: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Returns the sets of modules that import each other, directly or not."""
    reached = {module: set(others) for module, others in targets.items()}
    for middle in reached:
        for others in reached.values():
            if middle in others:
                others |= reached[middle]
    in_cycle = [module for module in sorted(reached) if module in reached[module]]
    members = [
        {other for other in in_cycle if module in reached[other] and other in reached[module]}
        for module in in_cycle
    ]
    return [cycle for index, cycle in enumerate(members) if cycle not in members[:index]]


class TestReadingImports:
    """`imports_of` on small sources."""

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
    def test_imports_of_a_module(self, source: str, expected: list[tuple[str, bool]]) -> None:
        imports = imports_of(ast.parse(source), "p.q.m", is_package=False)
        assert [(imported.name, imported.on_import) for imported in imports] == expected

    def test_relative_import_in_a_package(self) -> None:
        (imported,) = imports_of(ast.parse("from . import m"), "p.q", is_package=True)
        assert imported.name == "p.q.m"


class TestDirection:
    def test_sources_and_components_are_found(self) -> None:
        assert len(source_files()) > 20
        assert {"example_gen", "transform", "trainer", "pusher"} <= set(component_packages())

    def test_components_do_not_import_the_pipeline(self) -> None:
        components = (
            imported for imported in all_imports() if imported.module.startswith("bitext.components")
        )
        assert not listing(imported for imported in components if imported.is_within("bitext.pipeline"))

    def test_schemas_import_neither_pipeline_nor_components(self) -> None:
        wrong = (
            imported
            for imported in all_imports()
            if imported.module.startswith("bitext.schemas")
            and imported.is_within("bitext.pipeline", "bitext.components")
        )
        assert not listing(wrong)

    def test_no_component_imports_another(self) -> None:
        """Shared packages such as `text`, `seq2seq` and `shared` import no component either."""
        packages = [f"bitext.components.{name}" for name in component_packages()]
        wrong = (
            imported
            for imported in all_imports()
            if imported.module.startswith("bitext.components")
            and imported.is_within(*packages)
            and imported.name.split(".")[2] != imported.module.split(".")[2]
        )
        assert not listing(wrong)

    def test_examples_import_nothing_of_this_project(self) -> None:
        examples = sorted((ROOT / "examples").glob("*.py"))
        assert len(examples) == 6
        wrong = (
            imported
            for path in examples
            for imported in imports_of(
                ast.parse(path.read_text(encoding="utf-8")), path.stem, is_package=False
            )
            if imported.is_within("bitext", *PACKAGES, "tests")
        )
        assert not listing(wrong)

    def test_packages_are_imported_from_bitext(self) -> None:
        """`import pipeline` would load a second copy of each module."""
        assert not listing(imported for imported in all_imports() if imported.is_within(*PACKAGES))

    def test_there_is_no_import_cycle(self) -> None:
        """Imports in functions and for type checking count. One kind is allowed: in a function, a package may
        import its own modules, as `run` of a component imports the executor."""
        targets: dict[str, set[str]] = {module_name(path): set() for path in source_files()}
        modules = set(targets)
        for imported in all_imports():
            target = target_module(imported.name, modules)
            is_own_executor = not imported.on_import and target.startswith(f"{imported.module}.")
            if target and target != imported.module and not is_own_executor:
                targets[imported.module].add(target)
        assert not import_cycles(targets)

    def test_an_import_cycle_is_found(self) -> None:
        assert import_cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]

    def test_the_application_imports_no_tests(self) -> None:
        assert not listing(
            imported for imported in all_imports() if imported.is_within("tests", "pytest", "hypothesis")
        )


class TestOwners:
    """Libraries and packages that only one package of this project may import."""

    def test_only_the_store_imports_ml_metadata(self) -> None:
        importers = {i.module for i in all_imports() if i.is_within("ml_metadata")}
        assert importers
        assert all(module.startswith("bitext.pipeline.store.") for module in importers)

    def test_only_the_search_of_the_tuner_imports_optuna(self) -> None:
        assert {i.module for i in all_imports() if i.is_within("optuna")} == {"bitext.pipeline.tuning.search"}

    def test_only_one_package_imports_beam_runners_and_options(self) -> None:
        names = ("apache_beam.runners", "apache_beam.options")
        importers = {i.module for i in all_imports() if i.is_within(*names)}
        assert importers
        assert all(f"{module}.".startswith("bitext.pipeline.beam.") for module in importers)

    def test_only_one_module_imports_the_libraries_of_remote_files(self) -> None:
        names = ("fsspec", "upath", "s3fs", "gcsfs", "adlfs")
        assert {i.module for i in all_imports() if i.is_within(*names)} == {
            "bitext.components.shared.storage"
        }

    def test_modules_that_run_nodes_import_no_component(self) -> None:
        """They use the interface `Component` only. The graph imports the components."""
        names = ("plan", "lookup", "runner", "publish", "recovery", "layout", "cache_keys", "records")
        modules = {f"bitext.pipeline.{name}" for name in names}
        assert modules <= {module_name(path) for path in source_files()}
        components = [f"bitext.components.{name}" for name in component_packages()]
        assert not listing(
            imported
            for imported in all_imports()
            if imported.module in modules and imported.is_within(*components)
        )


class TestSizes:
    """Limits of rule 5, in lines with docstrings."""

    MAX_MODULE_LINES = 350
    MAX_FUNCTION_LINES = 60

    def test_modules(self) -> None:
        lengths = {module_name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in source_files()}
        assert len(lengths) > 100
        assert {name: n for name, n in lengths.items() if n > self.MAX_MODULE_LINES} == {}

    def test_functions(self) -> None:
        lengths = {
            f"{module_name(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
            for path in source_files()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert len(lengths) > 500
        assert {name: n for name, n in lengths.items() if n > self.MAX_FUNCTION_LINES} == {}


def test_nothing_removed_from_tensorflow_is_used() -> None:
    """No API that TensorFlow 2 or Keras 3 removed, and no `tf.compat.v1`."""
    removed = re.compile(
        r"\b(?:tf|tensorflow)\.(?:compat\.v1|contrib|placeholder|Session|get_variable)\b"
        r"|\b(?:dynamic_rnn|rnn_cell)\b|compat import v1|\bRNN\(.*constants="
    )
    uses = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in source_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if removed.search(line)
    ]
    assert not uses
    for line in (
        "x = tf.compat.v1.placeholder(tf.float32)",
        "from tensorflow.compat import v1",
        "cell = tf.nn.rnn_cell.LSTMCell(3)",
        "keras.layers.RNN(cell)(x, constants=[memory])",
    ):
        assert removed.search(line)


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields line number and value of every string in a module, without docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def spells(text: str, name: str) -> bool:
    """Whether a text contains the name of a file: with a dot as a word, without a dot as a path component."""
    if name.endswith("-"):  # a prefix of file names
        return any(part.startswith(name) for part in text.split("/"))
    return (
        bool(re.search(rf"(?<![\w.-]){re.escape(name)}(?!\w)", text))
        if "." in name
        else name in text.split("/")
    )


class TestArtifactsOwnTheirFiles:
    """No module outside `components/artifacts/` spells the name of a file of an artifact."""

    NAMES = sorted({name for kind in KINDS for name in kind.FILES})
    # It runs in a process that can import TensorFlow only.
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
    def test_spells(self, text: str, name: str, expected: bool) -> None:
        assert spells(text, name) == expected

    def test_no_other_module_spells_them(self) -> None:
        assert {"metrics.json", "pushed.json", "BLESSED", "weights.npz", "bitext.json"} <= set(self.NAMES)
        spelled = [
            f"{path.relative_to(ROOT)}:{line}: {name}"
            for path in source_files()
            if not path.is_relative_to(ROOT / "components" / "artifacts")
            if path.relative_to(ROOT).as_posix() not in self.EXEMPT
            for line, text in literals(ast.parse(path.read_text(encoding="utf-8")))
            for name in self.NAMES
            if spells(text, name)
        ]
        assert not spelled, "\n".join(spelled)


class TestPropertiesOfVerdicts:
    """The keys of `blessed` and `pushed` in the metadata store are spelled by the artifact kinds alone."""

    LITERAL = re.compile(r"""(properties\b.*|TYPE_NAME, )["'](blessed|pushed)["']""")

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ('blessing.properties["blessed"] = 1', True),
            ('artifact.properties.get("pushed") == 1', True),
            ('properties | {"pushed": 1}', True),
            ('self.values(kind.TYPE_NAME, "blessed")', True),
            ("artifact.properties.get(PushedModel.PUSHED_PROPERTY)", False),
            ('status["pushed"]', False),
        ],
    )
    def test_the_search_itself(self, line: str, expected: bool) -> None:
        assert bool(self.LITERAL.search(line)) == expected

    def test_nobody_else_spells_them(self) -> None:
        assert (Blessing.BLESSED_PROPERTY, PushedModel.PUSHED_PROPERTY) == ("blessed", "pushed")
        spelled = [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for path in source_files()
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if self.LITERAL.search(line)
        ]
        assert not spelled, "\n".join(spelled)


ERRORS = ("BitextError", "ConfigError", "DataError", "EnvironmentFault", "LockedError", "TrainingError")


def text_forms(value: ast.expr, module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every string that an expression can be; `{}` stands for a value in an f-string.

    Names of variables, and calls of functions of the module, are replaced by what the module assigns or
    returns.
    """
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.lineno, value.value
    elif isinstance(value, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in value.values)
        yield value.lineno, "".join(map(str, parts))
    inner: list[ast.expr] = []
    if isinstance(value, ast.IfExp):
        inner = [value.body, value.orelse]
    elif isinstance(value, ast.Dict):
        inner = value.values
    elif isinstance(value, ast.Subscript):
        inner = [value.value]
    elif isinstance(value, ast.Name):
        inner = [
            node.value
            for node in ast.walk(module)
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
            if any(
                isinstance(target, ast.Name) and target.id == value.id
                for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            )
        ]
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        inner = [
            node.value
            for function in ast.walk(module)
            if isinstance(function, ast.FunctionDef) and function.name == value.func.id
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and node.value
        ]
    for one in inner:
        yield from text_forms(one, module)


def remedies(module: ast.Module, positions: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """Line and text of every remedy in a module.

    Args:
      module: the module.
      positions: position of the argument `remedy`, by the name of the function or class that takes it.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            values = [keyword.value for keyword in node.keywords if keyword.arg == "remedy"]
            if name in positions:
                values += node.args[positions[name] :][:1]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_remedy = any(re.search("(?i)remed(y|ies)$", ast.unparse(target)) for target in targets)
            values = [node.value] if is_remedy else []
        else:
            continue
        for value in values:
            yield from text_forms(value, module)


def is_remedy_form(text: str) -> bool:
    """Whether a text continues `what to do: `: no capital first, clauses joined by `;`, no full stop."""
    return not text[:1].isupper() and not re.search(r"(?<!\.\.)\.( [A-Z`{]|$)", text.rstrip())


class TestRemedies:
    """`what to do: ` is followed by text of one form, whichever package raises the error."""

    def positions(self) -> dict[str, int]:
        positions = dict.fromkeys((*ERRORS, "Refusal"), 1)
        for path in source_files():
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                    names = [argument.arg for argument in node.args.args if argument.arg != "self"]
                    if "remedy" in names:
                        positions[node.name] = names.index("remedy")
        return positions

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("name a file", True),
            ("`bitext config` prints every key", True),
            ("did you mean trainer?", True),
            ("set it with --set {}=...", True),
            ("wait; then run `bitext run`", True),
            ("", True),
            ("Name a file", False),
            ("name a file.", False),
            ("name a file. Then run again", False),
            ("name a file. `bitext` finds it", False),
        ],
    )
    def test_the_form(self, text: str, expected: bool) -> None:
        assert is_remedy_form(text) == expected

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("DataError('a', 'b')", ["b"]),
            ("errors.DataError('a', f'b {c}')", ["b {}"]),
            ("DataError('a', remedy='b' if c else 'd')", ["b", "d"]),
            ("x = 'b'\nDataError('a', x)", ["b"]),
            ("_REMEDIES = {1: 'b'}", ["b"]),
            ("def f():\n  return 'b'\nDataError('a', f())", ["b"]),
            ("print('a', 'b')", []),
        ],
    )
    def test_the_search(self, source: str, expected: list[str]) -> None:
        assert [text for _, text in remedies(ast.parse(source), {"DataError": 1})] == expected

    def test_all_have_it(self) -> None:
        positions = self.positions()
        assert {"reporting_faults", "find_files"} <= set(positions)
        found = [
            (f"{path.relative_to(ROOT)}:{line}: {text}", text)
            for path in source_files()
            for line, text in remedies(ast.parse(path.read_text(encoding="utf-8")), positions)
        ]
        assert len(found) > 150
        wrong = [shown for shown, text in found if not is_remedy_form(text)]
        assert not wrong, "\n".join(wrong)


class TestLightStart:
    def test_declarations_import_no_heavy_library(self) -> None:
        light_modules = {
            "bitext.pipeline",
            "bitext.pipeline.cli",
            "bitext.pipeline.records",
            "bitext.pipeline.layout",
            "bitext.components",
            "bitext.components.artifacts",
            *(f"bitext.components.{name}" for name in component_packages()),
        }
        loaded = (i for i in all_imports() if i.module in light_modules and i.on_import)
        assert not listing(i for i in loaded if i.is_within(*HEAVY_LIBRARIES))

    @pytest.mark.parametrize(
        "module",
        [
            "bitext.pipeline.beam",
            "bitext.pipeline.cli",
            "bitext.pipeline.config",
            "bitext.components.artifacts",
            "bitext.pipeline.graph",
            "bitext.pipeline.records",
            *(f"bitext.components.{name}" for name in component_packages()),
        ],
    )
    def test_importing_a_module_loads_no_heavy_library(self, module: str) -> None:
        process = run_python(f"import {module}, sys; print(*sorted({HEAVY_LIBRARIES} & set(sys.modules)))")
        assert process.returncode == 0, process.stderr
        assert process.stdout.split() == []


RUNTIMES: dict[str, list[str]] = runpy.run_path(str(ROOT / "setup.py"))["RUNTIMES"]


class TestLocks:
    """The versions in requirements/py3*.txt are in the ranges of setup.py."""

    @staticmethod
    def pins(python: str, runtime: str = "") -> dict[str, Version]:
        name = f"py{python.replace('.', '')}{runtime and '-'}{runtime}.txt"
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        lines = [line.split() for line in text.splitlines() if line and line[0] not in " #"]
        assert all("==" in line[0] and line[-1] == "\\" for line in lines), "no exact version, or no hash"
        return {line[0].split("==")[0]: Version(line[0].split("==")[1]) for line in lines}

    @pytest.mark.parametrize("python", INTERPRETERS)
    def test_versions_are_in_the_ranges_of_setup_py(self, python: str) -> None:
        declared = runpy.run_path(str(ROOT / "setup.py"))
        pins = self.pins(python)
        compared = 0
        for requirement in map(Requirement, declared["REQUIREMENTS"] + declared["DEV"]):
            if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
                continue
            compared += 1
            assert pins[requirement.name.lower()] in requirement.specifier, str(requirement)
        assert compared > 20

    @pytest.mark.parametrize("python", INTERPRETERS)
    @pytest.mark.parametrize("runtime", RUNTIMES)
    def test_a_runtime_is_installed_beside_the_versions_of_the_lock(self, python: str, runtime: str) -> None:
        pins, of_lock = self.pins(python, runtime), self.pins(python)
        requirements = map(Requirement, RUNTIMES[runtime])
        wanted = [r for r in requirements if not r.marker or r.marker.evaluate({"python_version": python})]
        assert wanted
        assert all(pins[requirement.name] in requirement.specifier for requirement in wanted)
        assert {name: pins[name] for name in pins.keys() & of_lock} == {
            name: of_lock[name] for name in pins.keys() & of_lock
        }

    @pytest.mark.parametrize("python", INTERPRETERS)
    def test_requirements_name_no_host(self, python: str) -> None:
        text = (ROOT / "requirements" / f"py{python.replace('.', '')}.txt").read_text(encoding="utf-8")
        assert "://" not in text


class TestNoNetwork:
    """The fixture `no_network` of conftest.py, tested in another pytest process."""

    SOURCE = """
        import socket

        def test_caught_error():
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
