"""`bitext translate` with constraints: options, the file of constraints, and what is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bitext.components.seq2seq import ServingLimits
from bitext.components.shared import errors
from bitext.components.translation.constrained import ConstrainedTranslator, Sentence
from bitext.components.translation.constraints import ConstraintOptions, ConstraintReader, LineConstraints
from bitext.components.translation.search import Search
from bitext.components.translation.translate_constrained import main_constrained
from bitext.components.translation.translator import LineTranslator
from tests.components.small_export import Export

LINES = ["the cat sat", "", "a mat. the cat sat", "seven songs"]


def run(
    export: Export,
    folder: Path,
    options: ConstraintOptions,
    search: Search | None = None,
    *,
    as_json: bool = False,
    lines: list[str] = LINES,
) -> tuple[list[str], list[str]]:
    """Translates the lines; returns the lines of output and the warnings."""
    warnings: list[str] = []
    (folder / "in.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    places = export.path, folder / "in.txt", folder / "out.txt"
    assert main_constrained(*places, options, search, as_json=as_json, warn=warnings.append) == 0
    return (folder / "out.txt").read_text(encoding="utf-8").splitlines(), warnings


def contains(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){word}(?!\w)", text) is not None


class TestOutput:
    def test_each_line_meets_the_constraints_of_all_and_its_own(self, export: Export, tmp_path: Path) -> None:
        file = tmp_path / "c.jsonl"
        own = [{"require": ["la"]}, {"require": ["no"]}, {"ban": ["e", "t"]}, {"prefix": "to", "require": []}]
        file.write_text("".join(json.dumps(line) + "\n" for line in own))
        options = ConstraintOptions(LineConstraints(ban=("el",)), file)
        output, warnings = run(export, tmp_path, options, Search(beam_size=8, max_length=12))
        assert not [warning for warning in warnings if "no translation" in warning]
        assert contains(output[0], "la")
        assert output[1] == ""
        assert not contains(output[2], "[et]")
        assert output[3].startswith("to")
        assert not any(contains(line, "el") for line in output)

    def test_without_constraints_json_has_the_translations_of_the_text(
        self, export: Export, tmp_path: Path
    ) -> None:
        search = Search(nbest=3)
        plain, _ = run(export, tmp_path, ConstraintOptions(no_repeat_ngram=0), search)
        printed, _ = run(export, tmp_path, ConstraintOptions(), search, as_json=True)
        objects = [json.loads(line) for line in printed]
        assert [row["line"] for row in objects] == [1, 2, 3, 4]
        assert [len(row["sentences"]) for row in objects] == [1, 0, 2, 1]
        [sentence] = objects[0]["sentences"]
        assert sentence["source"] == LINES[0]
        texts = [f"1\t{each['score']:.4f}\t{each['text']}" for each in sentence["translations"]]
        assert texts == [line for line in plain if line.startswith("1\t")]
        for each in sentence["translations"]:
            tokens = each["tokens"]
            assert "".join(token["text"] for token in tokens).strip() == each["text"]
            assert sum(token["log_prob"] for token in tokens) == pytest.approx(each["log_prob"], rel=1e-4)
            assert each["finished"] == (tokens[-1]["id"] == 2)

    def test_a_line_without_a_translation_is_empty_and_told(self, export: Export, tmp_path: Path) -> None:
        of_all = LineConstraints(require=("el", "la"))  # `l` twice
        output, warnings = run(export, tmp_path, ConstraintOptions(of_all, no_repeat_ngram=1))
        assert output == [""] * 4
        assert [warning for warning in warnings if "no translation" in warning] == [
            f"warning: line {line}: no translation that meets its constraints was found" for line in (1, 3, 4)
        ]
        assert "3 lines without a translation" in warnings[-1]
        printed, _ = run(
            export, tmp_path, ConstraintOptions(of_all, no_repeat_ngram=1), Search(nbest=2), as_json=True
        )
        assert json.loads(printed[3])["sentences"] == [{"source": LINES[3], "translations": []}]


class TestErrors:
    def test_a_contradiction_names_its_line(self, export: Export, tmp_path: Path) -> None:
        file = tmp_path / "c.jsonl"
        file.write_text('{}\n{}\n{}\n{"require": ["el gato"], "ban": ["gato"]}\n')
        with pytest.raises(errors.ConfigError, match=r"^line 4: .* input required must not contain a banned"):
            run(export, tmp_path, ConstraintOptions(file=file), Search(max_length=20))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{}\n{}\n", "c.jsonl has fewer lines than the input: 2"),
            ("{}\n" * 5, "c.jsonl has more lines than the input: more than 4"),
            ('{}\n{"prefix": 3}\n', r"c.jsonl, line 2: Expected `str`, got `int` - at `\$.prefix`"),
            ('{"bann": ["a"]}\n', "c.jsonl, line 1: Object contains unknown field `bann`"),
            ('{"ban": ["a", " "]}\n', "c.jsonl, line 1: `ban` has an empty phrase"),
            ('{"prefix": "a"}\n', "c.jsonl, line 1: `prefix` is given with --prefix"),
            ("\n", "c.jsonl, line 1: Input data was truncated"),
            ("ban: a\n", "c.jsonl, line 1: JSON is malformed"),
        ],
    )
    def test_a_wrong_file_is_named_with_its_line(
        self, export: Export, tmp_path: Path, content: str, message: str
    ) -> None:
        file = tmp_path / "c.jsonl"
        file.write_text(content)
        options = ConstraintOptions(LineConstraints(prefix="el"), file)
        with pytest.raises(errors.DataError, match=message):
            run(export, tmp_path, options)
        assert not (tmp_path / "out.txt").exists()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"no_repeat_ngram": -1},
            {"no_repeat_ngram": 21},
            {"repetition_penalty": 0.5},
            {"repetition_penalty": float("nan")},
            {"max_length_factor": -1},
        ],
    )
    def test_numbers_out_of_range_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(errors.ConfigError, match=f"{next(iter(wrong))} must be from"):
            ConstraintOptions(**wrong)


def test_a_model_of_an_earlier_version_is_refused(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = LineTranslator(export.path)
    monkeypatch.setattr(LineTranslator, "has", lambda self, name: name != "translate_constrained")
    with pytest.raises(errors.DataError, match="without constraints only: an earlier version") as error:
        ConstrainedTranslator(translator, ConstraintOptions())
    assert "train and push it again" in error.value.remedy


def test_batches_keep_to_the_limits_of_banned_phrases(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = ConstrainedTranslator(LineTranslator(export.path), ConstraintOptions())
    sentences = [
        Sentence(b"a mat", line, LineConstraints(ban=tuple(f"{line}x{n}" for n in range(60))))
        for line in range(1, 8)
    ]
    sizes = []
    call = LineTranslator.call

    def counted(self: LineTranslator, name: str, **inputs: Any) -> dict[str, Any]:
        sizes.append(len(inputs["text"]))
        return call(self, name, **inputs)

    monkeypatch.setattr(LineTranslator, "call", counted)
    found = translator.translate(sentences)
    assert all(found)
    assert max(sizes) * 60 <= ServingLimits().banned
    assert sum(sizes) == 7


def test_the_reader_needs_no_file() -> None:
    reader = ConstraintReader(ConstraintOptions(LineConstraints(ban=("a",))), None)
    assert reader.read(2) == [LineConstraints(ban=("a",))] * 2
    reader.finish()
