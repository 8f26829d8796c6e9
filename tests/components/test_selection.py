"""Rules that compare training pairs across spans and corpora, against an oracle in Python."""

from __future__ import annotations

import dataclasses
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.example_gen.cleaning import KEYS
from bitext.components.text.normalization import normalize, split_key
from bitext.components.transform import CorpusUse, WeightedParameters, judging, selection
from tests.components.test_corpora import part

Pair = tuple[str, str]
SOURCES = st.sampled_from(
    ["Go on", "go on!", "Go, on.", "GO ON", "Run", "run!", "走", "走！", "!", "?", "law Go on"]
)
TARGETS = st.sampled_from(["sigue", "¡Sigue!", "corre", "Corre…", "ve", "Ve.", "sigue", "vete"])
PAIRS = st.lists(st.tuples(SOURCES, TARGETS), max_size=8)


@dataclasses.dataclass(frozen=True)
class GivenPart:
    corpus: str
    train: list[Pair]
    eval: list[Pair]


PARTS = st.lists(
    st.builds(
        GivenPart,
        st.sampled_from(["a", "b", "tagged"]),
        PAIRS,
        st.lists(st.tuples(SOURCES, TARGETS), max_size=1),
    ),
    min_size=2,
    max_size=4,
)
USES = st.tuples(
    *(
        st.builds(CorpusUse, st.just(name), st.just(1.0), st.just(tag), st.booleans(), st.integers(0, 2))
        for name, tag in (("a", ""), ("b", ""), ("tagged", "<law>"))
    )
)


def near_key(text: str) -> str:
    key = split_key(text)
    return "".join(c for c in key if unicodedata.category(c)[0] in "LMN") or key


def expected_reasons(parts: list[GivenPart], uses: dict[str, CorpusUse]) -> list[list[str]]:
    """Why each training pair is left out, by part."""
    exact: set[tuple] = set()
    near: set[tuple] = set()
    targets = Counter[tuple]()
    result = []
    for number, given in enumerate(parts):
        use = uses[given.corpus]
        elsewhere = {split_key(s) for i, p in enumerate(parts) if i != number for s, _ in p.eval}
        reasons = []
        for source, target in given.train:
            pair = (use.tag, normalize(source), normalize(target))
            near_pair = (use.tag, near_key(source), near_key(target))
            near_source = near_pair[:2]
            if split_key(source) in elsewhere:
                reasons.append("held out elsewhere")
            elif pair in exact:
                reasons.append("exact duplicate")
            elif use.near_duplicates and near_pair in near:
                exact.add(pair)
                reasons.append("near_duplicate")
            elif use.max_targets and targets[near_source] >= use.max_targets:
                exact.add(pair)
                near.add(near_pair)
                reasons.append("too_many_targets")
            else:
                exact.add(pair)
                near.add(near_pair)
                targets[near_source] += 1
                reasons.append("kept")
        result.append(reasons)
    return result


def write_parts(folder: Path, parts: list[GivenPart], uses: dict[str, CorpusUse]) -> list[artifacts.Examples]:
    def tagged(rows: list[Pair], tag: str) -> list[Pair]:
        return [(f"{tag} {source}" if tag else source, target) for source, target in rows]

    return [
        part(
            folder / str(i),
            given.corpus,
            train=tagged(given.train, uses[given.corpus].tag),
            eval=tagged(given.eval, uses[given.corpus].tag),
        )
        for i, given in enumerate(parts)
    ]


@settings(max_examples=30, deadline=None)
@hypothesis.given(parts=PARTS, given_uses=USES)
def test_pairs_are_left_out_as_the_oracle_says(
    parts: list[GivenPart], given_uses: tuple[CorpusUse, ...]
) -> None:
    uses = {use.name: use for use in given_uses}
    reasons = expected_reasons(parts, uses)
    hypothesis.assume(any("kept" in of_part for of_part in reasons))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = write_parts(folder, parts, uses)
        rejects = artifacts.Rejects(folder / "rejects")
        rejects.path.mkdir()
        lines: list[str] = []
        chosen = selection.choose(WeightedParameters(corpora=given_uses), examples, rejects, lines.append)
        rejected, summary = rejects.rows(), rejects.summary()
    assert chosen is not None
    of_parts = [chosen.copies[str(each.shard("train"))].tolist() for each in examples]
    assert of_parts == [[int(reason == "kept") for reason in of_part] for of_part in reasons]
    listed = [
        (given.corpus, row, reason)
        for given, of_part in zip(parts, reasons, strict=True)
        for row, reason in enumerate(of_part)
        if reason in KEYS
    ]
    assert [(row.file, row.line, row.reason) for row in rejected] == listed
    assert all(KEYS[row.reason] in row.detail for row in rejected)
    left_out: dict[str, Counter[str]] = {given.corpus: Counter() for given in parts}
    for given, of_part in zip(parts, reasons, strict=True):
        left_out[given.corpus].update(reason for reason in of_part if reason != "kept")
    assert summary.left_out == {corpus: dict(counts) for corpus, counts in left_out.items()}
    assert len(lines) == sum(map(bool, left_out.values()))


def test_spans_without_a_corpus_are_compared(tmp_path: Path) -> None:
    spans = [
        part(tmp_path / str(i), "", train=[("Go on!" * i, "Sigue"), ("Go on", "sigue.")]) for i in (1, 2)
    ]
    for span in spans:
        span.properties.pop("corpus")
    parameters = WeightedParameters(corpora=(CorpusUse("", 1.0, "", near_duplicates=True),))
    chosen = selection.select(parameters, spans)
    assert chosen is not None
    assert [copies.tolist() for copies in chosen.copies.values()] == [[1, 0], [1, 0]]
    assert list(chosen.lines()) == ["2 training pairs left out: near_duplicate 1, exact duplicate 1"]


def test_the_rules_have_the_names_of_cleaning() -> None:
    reasons = judging.REASONS[judging.NEAR_DUPLICATE :]
    assert reasons == ("near_duplicate", "too_many_targets")
    assert set(reasons) <= set(KEYS)


@pytest.mark.parametrize(
    ("weight", "pairs", "line"),
    [
        (2.0, 243, "weight 2: each of its 243 training pairs is used twice"),
        (1.5, 4, "weight 1.5: each of its 4 training pairs is used once, and 2 of them once more"),
        (0.25, 400, "weight 0.25: 100 of its 400 training pairs are used"),
        (3.0, 2, "weight 3: each of its 2 training pairs is used 3 times"),
    ],
)
def test_the_weight_is_said_in_words(tmp_path: Path, weight: float, pairs: int, line: str) -> None:
    only = part(tmp_path / "1", "a", train=[(f"source {i}", "t") for i in range(pairs)])
    chosen = selection.select(WeightedParameters(corpora=(CorpusUse("a", weight, ""),)), (only,))
    assert chosen is not None
    assert list(chosen.lines()) == [f"a: {line}"]
