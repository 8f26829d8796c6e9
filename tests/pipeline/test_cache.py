"""Cache keys cover the source code, the parameters, the inputs and the external files of a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import example_gen, infra_validator
from bitext.components.artifacts import Artifact
from bitext.components.example_gen import sources
from bitext.components.shared import files
from bitext.components.shared.errors import DataError
from bitext.pipeline import cache_keys, source_digests
from tests.pipeline import fakes


@pytest.fixture
def our_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes a package `ours`, and makes it the only package of this project."""
    package = tmp_path / "ours"
    (package / "step").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "step" / "__init__.py").write_text("from ours import shared\nfrom ours.step import executor\n")
    (package / "step" / "executor.py").write_text(
        "def run():\n    from ours.late import helper\n    helper()\n"
    )
    (package / "step" / "script.py").write_text("print(1)\n")
    (package / "shared.py").write_text("from . import deep\nX = 1\n")
    (package / "deep.py").write_text("import os, json\n")
    (package / "late.py").write_text("def helper(): ...\n")
    (package / "unrelated.py").write_text("Y = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(source_digests, "OUR_PACKAGES", ("ours",))
    return package


def digests() -> dict[str, str]:
    """Returns the source digests of `ours.step`, read again from the files."""
    source_digests._read_module.cache_clear()
    source_digests._module_file.cache_clear()
    return source_digests.source_digests("ours.step")


def test_the_source_code_is_the_package_and_its_imports_of_this_project(our_package: Path) -> None:
    expected = {"ours", "ours.step", "ours.step.executor", "ours.step.script"}
    assert set(digests()) == expected | {"ours.shared", "ours.deep", "ours.late"}


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("deep.py", "import os\n", {"ours.deep"}),
        ("step/script.py", "print(2)\n", {"ours.step.script"}),
        ("unrelated.py", "Y = 2\n", set()),
        ("deep.py", "# a comment\nimport os, json\n", set()),
    ],
)
def test_only_imported_code_counts(our_package: Path, file: str, text: str, changed: set[str]) -> None:
    before = digests()
    (our_package / file).write_text(text)
    after = digests()
    assert {name for name in before if before[name] != after[name]} == changed


def test_an_import_counts_in_every_kind_of_block(our_package: Path) -> None:
    (our_package / "deep.py").write_text(
        """
try:
    import ours.a
except ImportError:
    import ours.b
else:
    import ours.c
finally:
    import ours.d
for _ in range(0):
    with open("x"):
        import ours.e
else:
    import ours.f
class C:
    async def f(self):
        match self:
            case 1 if True:
                import ours.g
        while False:
            import ours.h
"""
    )
    for name in "abcdefgh":
        (our_package / f"{name}.py").write_text("")
    assert {f"ours.{name}" for name in "abcdefgh"} <= set(digests())


def test_the_source_code_of_a_real_component_includes_shared_modules_and_no_pipeline() -> None:
    digests_by_module = source_digests.source_digests("bitext.components.evaluator")
    assert {
        "bitext.components.evaluator",
        "bitext.components.artifacts",
        "bitext.components.component",
    } <= set(digests_by_module)
    assert not any(name.startswith("bitext.pipeline") for name in digests_by_module)


def test_the_content_digest_covers_names_and_bytes(tmp_path: Path) -> None:
    def digest(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        return Artifact(folder).content_digest()

    assert digest(a="1", b="2") == digest(b="2", a="1")
    assert len({digest(), digest(a="12"), digest(a="1", b="2"), digest(a="2", b="1"), digest(b="12")}) == 5


VALUES = st.dictionaries(st.text(min_size=1, max_size=3), st.none() | st.integers() | st.text(max_size=3))


@given(VALUES, VALUES)
def test_two_keys_differ_if_and_only_if_differences_are_listed(
    old: dict[str, int | str | None], new: dict[str, int | str | None]
) -> None:
    before, after = {"parameter": old}, {"parameter": new}
    assert (cache_keys.key_of(before) != cache_keys.key_of(after)) == bool(
        cache_keys.differences(before, after)
    )


def test_each_file_of_a_pattern_has_its_own_digest(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("1")
    (tmp_path / "b.tsv").write_text("2")
    parameters = fakes.SourceParameters(files=(str(tmp_path / "*.tsv"),))
    before = cache_keys.external_digests(fakes.Source(), parameters)
    assert list(before) == [str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv")]
    (tmp_path / "b.tsv").write_text("3")
    after = cache_keys.external_digests(fakes.Source(), parameters)
    assert {name for name in before if before[name] != after[name]} == {str(tmp_path / "b.tsv")}


def test_the_key_covers_exactly_the_files_that_are_read(tmp_path: Path) -> None:
    for name in ("a.tsv", ".hidden.tsv", "b[1].tsv", "b1.tsv", "deep/er/c.tsv", "deep/.git/d.tsv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\ty\n")
    for pattern, names in {
        "*.tsv": ["a.tsv", "b1.tsv", "b[1].tsv"],
        "b[1].tsv": ["b[1].tsv"],
        "**/*.tsv": ["a.tsv", "b1.tsv", "b[1].tsv", "deep/er/c.tsv"],
        ".hidden.tsv": [".hidden.tsv"],
        "deep": [],
    }.items():
        patterns = (str(tmp_path / pattern),)
        expected = [str(tmp_path / name) for name in names]
        assert files.local_files(patterns[0]) == expected
        if names:
            parameters = example_gen.Parameters(files=patterns)
            read = [file.path for file in sources.find_source_files(parameters)]
            assert list(cache_keys.external_digests(example_gen.ExampleGen(), parameters)) == read == expected


def test_a_pattern_without_a_match_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Source: .*\*\.tsv: there is no such file"):
        cache_keys.external_digests(fakes.Source(), fakes.SourceParameters(files=(str(tmp_path / "*.tsv"),)))


def test_a_timeout_is_not_part_of_the_key() -> None:
    keys = [
        cache_keys.key_parts(
            infra_validator.InfraValidator(), infra_validator.Parameters(timeout_seconds=n), {}
        )
        for n in (1, 2)
    ]
    assert keys[0] == keys[1]


def test_the_version_of_a_missing_library_is_not_installed() -> None:
    assert cache_keys._version("no-such-distribution-here") == "not installed"
    assert cache_keys._version("msgspec")[0].isdigit()
