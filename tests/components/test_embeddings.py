"""Pretrained vectors: which rows they start, files that are refused, frozen rows."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.errors import DataError
from bitext.components.text import SPECIALS, TextSettings
from bitext.components.text.learn import Vocabulary
from bitext.components.text.processor import TextPair, TextProcessor
from bitext.components.trainer import (
    EmbeddingParameters,
    OptimizerParameters,
    Parameters,
    Trainer,
    embeddings,
)
from bitext.components.trainer import vectors as vector_files
from bitext.components.trainer.optimizer import Optimizer
from tests.components.tiny_model import SETTINGS
from tests.structs import changed

UNITS = SETTINGS.embedding_units
SOURCE = (*SPECIALS, "▁cat", "▁the", ",", "ing", "▁,", "▁Cat", "▁")
TARGET = (*SPECIALS, "▁gato", "▁cat", "low▁", "▁el")


def vectors(*words: str, scale: float = 1.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(len(words))
    return {word: (scale * random.normal(size=UNITS)).round(3).astype(np.float32) for word in words}


def lines_of(table: dict[str, np.ndarray]) -> list[str]:
    return [f"{word} {' '.join(map(str, vector.tolist()))}" for word, vector in table.items()]


def write(path: Path, table: dict[str, np.ndarray], header: bool = True) -> str:
    head = [f"{len(table)} {UNITS}"] if header else []
    text = "\n".join([*head, *lines_of(table)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def text_pair(folder: Path, source: tuple[str, ...] = SOURCE, target: tuple[str, ...] = TARGET) -> TextPair:
    def processor(name: str, pieces: tuple[str, ...]) -> TextProcessor:
        paths = folder / f"{name}.vocabulary", folder / f"{name}.merges"
        vocabulary = Vocabulary(pieces)
        paths[0].write_bytes(vocabulary.vocabulary_file())
        paths[1].write_bytes(vocabulary.merges_file())
        return TextProcessor(TextSettings(unit="word"), *map(str, paths))

    one = processor("source", source)
    if target is source:
        return TextPair(one, one, shared=True, source_max_length=20)
    return TextPair(one, processor("target", target), shared=False, source_max_length=20)


def network_of(pair: TextPair) -> Seq2Seq:
    tf.keras.utils.set_random_seed(1)
    settings = msgspec.structs.replace(SETTINGS, cell="rnn", bidirectional=False)
    return Seq2Seq(settings, pair.source.size(), pair.target.size(), pair.shared)


def parameters_of(**files) -> Parameters:
    return Parameters(model=SETTINGS, embeddings=EmbeddingParameters(**files))


def scaled(table: dict[str, np.ndarray], *used: str) -> dict[str, np.ndarray]:
    norm = np.sqrt(np.mean([table[word] @ table[word] for word in used]))
    return {word: table[word] / norm for word in used}


@pytest.mark.parametrize(
    ("piece", "word"),
    [
        ("▁cat", "cat"),
        ("cat▁", "cat"),
        (",", ","),
        ("▁,", ","),
        ("ing", ""),
        ("7", ""),
        ("▁", ""),
        ("</s>", ""),
        ("<0x41>", ""),
        ("▁</s>", "</s>"),
    ],
)
def test_the_word_that_a_token_names(piece, word):
    assert embeddings.word_of(piece) == word


def test_every_character_names_itself_if_tokens_are_characters():
    assert embeddings.word_of("a", characters=True) == "a"
    assert embeddings.word_of("▁", characters=True) == ""


class TestStart:
    @pytest.mark.parametrize("name", ["v.vec", "v.vec.gz"])
    @pytest.mark.parametrize("header", [True, False])
    def test_rows_of_named_tokens_start_from_the_file_and_others_stay(self, tmp_path, name, header):
        table = vectors("cat", ",", "dog", "ing", "</s>", scale=30.0)
        pair = text_pair(tmp_path)
        network, untouched = network_of(pair), network_of(pair)
        parameters = parameters_of(source=write(tmp_path / name, table, header))
        started = embeddings.start(network, pair, parameters, None)
        expected = untouched.source_embedding.numpy()
        new = scaled(table, "cat", ",")
        expected[SOURCE.index("▁cat")] = new["cat"]
        expected[SOURCE.index(",")] = expected[SOURCE.index("▁,")] = new[","]
        np.testing.assert_allclose(network.source_embedding.numpy(), expected, rtol=1e-5)
        np.testing.assert_array_equal(network.target_embedding.numpy(), untouched.target_embedding.numpy())
        assert started.lines[0].startswith("source embedding: 3 of 11 tokens (27.3%) are in ")
        assert "which has 5 words" in started.lines[0]
        assert not started.frozen

    def test_the_target_goes_before_the_source_in_a_shared_embedding(self, tmp_path):
        pair = text_pair(tmp_path, SOURCE, SOURCE)
        network = network_of(pair)
        first, second = vectors("cat", "the"), vectors("cat", "Cat", "x")
        files = {
            "source": write(tmp_path / "s.vec", first),
            "target": write(tmp_path / "t.vec", second),
            "freeze": True,
        }
        started = embeddings.start(network, pair, parameters_of(**files), None)
        rows = network.source_embedding.numpy()
        assert network.source_embedding is network.target_embedding
        np.testing.assert_allclose(rows[SOURCE.index("▁the")], scaled(first, "cat", "the")["the"], rtol=1e-5)
        np.testing.assert_allclose(rows[SOURCE.index("▁cat")], scaled(second, "cat", "Cat")["cat"], rtol=1e-5)
        (frozen,) = started.frozen.values()
        assert [SOURCE[row] for row in np.flatnonzero(frozen)] == ["▁cat", "▁the", "▁Cat"]

    def test_a_warm_start_keeps_the_rows_that_the_base_model_has(self, tmp_path):
        pair = text_pair(tmp_path)
        network, untouched = network_of(pair), network_of(pair)
        base = SimpleNamespace(vocabulary=lambda: SimpleNamespace(source=list(SOURCE[:5]), target=[]))
        parameters = parameters_of(source=write(tmp_path / "s.vec", vectors("cat", "the")), freeze=True)
        started = embeddings.start(network, pair, parameters, base)
        changed_rows = (network.source_embedding.numpy() != untouched.source_embedding.numpy()).any(axis=1)
        assert [SOURCE[row] for row in np.flatnonzero(changed_rows)] == ["▁the"]
        assert "1 of these keep the rows" in started.lines[1]
        assert started.frozen["seq2seq/source_embedding"].sum() == 2

    @pytest.mark.parametrize(
        ("tokens", "words", "reason"),
        [
            (TARGET, ("inu", "neko"), "is trainer.embeddings.target of this language"),
            (
                (*SPECIALS, *(f"▁W{n}" for n in range(20))),
                tuple(f"w{n}" for n in range(20)),
                r"20 more are there in lower case \(`transform.lowercase: true`\)",
            ),
            (
                (*SPECIALS, "▁cat", *(f"s{n}" for n in range(20))),
                ("cat",),
                "24 are parts of words, characters or bytes",
            ),
        ],
    )
    def test_the_reason_why_few_tokens_have_a_vector_is_told(self, tmp_path, tokens, words, reason):
        pair = text_pair(tmp_path, target=tokens)
        parameters = parameters_of(target=write(tmp_path / "t.vec", vectors(*words)))
        started = embeddings.start(network_of(pair), pair, parameters, None)
        assert re.search(f"^warning: few tokens of the target have a vector: .*{reason}", started.lines[-1])

    def test_without_files_nothing_changes(self, tmp_path):
        assert embeddings.start(network_of(text_pair(tmp_path)), text_pair(tmp_path), Parameters(), None) == (
            embeddings.Started([], {})
        )


NO_SPACE = st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"])
NUMBERS = " ".join(["0.5"] * UNITS)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (f"2 300\nthe{' 0.5' * 300}\n", "has vectors of 300 numbers, and trainer.model.embedding_units"),
            (f"the {NUMBERS} 1.0\n", f"has vectors of {UNITS + 1} numbers"),
            (f"2 {UNITS}\nthe {NUMBERS}\ncat 0.1 0.2\n", ":3: a line must have a word and"),
            (f"the {NUMBERS}\n\ncat {NUMBERS[:-1]}x\n", ":3: the vector of 'cat' has no number"),
            (f"the {NUMBERS}\ncat {NUMBERS[:-3]}nan\n", ":2: the vector of 'cat' has a value that is not"),
            (f"the {NUMBERS}\ncat {NUMBERS[:-3]}inf\n", ":2: the vector of 'cat' has a value that is not"),
            (f"3 {UNITS}\nthe {NUMBERS}\n", "has 1 vectors, and 3 by its first line"),
            (f"2 {UNITS}\nthe 0.1 0.2\n", f":2: a vector has 2 numbers, and {UNITS} by the first line"),
            ("", "has 0 vectors"),
            (f"{NUMBERS}\n", f"has vectors of {UNITS - 1} numbers"),
        ],
    )
    def test_the_error_names_file_and_line(self, tmp_path, content, message):
        file = tmp_path / "own.vec"
        file.write_text(content)
        with pytest.raises(DataError) as caught:
            vector_files.read(str(file), frozenset({"the", "cat"}), UNITS)
        assert message in str(caught.value)
        assert "own.vec" in str(caught.value)
        assert caught.value.remedy

    @pytest.mark.parametrize(
        ("content", "message", "remedy"),
        [
            (
                f"2 {UNITS}\nthe ".encode() + np.zeros(UNITS, np.float32).tobytes() * 9,
                "binary vectors of word2vec",
                "save_word2vec_format",
            ),
            (b"\xba\x16\x4f\x2f\x0c\0\0\0" + bytes(400), "a binary model of fastText", "bin_to_vec.py"),
        ],
    )
    def test_a_binary_file_is_refused_by_name(self, tmp_path, content, message, remedy):
        file = tmp_path / "own.bin"
        file.write_bytes(content)
        with pytest.raises(DataError, match=f"own.bin.*{message}") as caught:
            vector_files.read(str(file), frozenset({"the"}), UNITS)
        assert remedy in caught.value.remedy

    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("header", [b"", b"3 %d\n" % UNITS])
    def test_other_forms_of_text_are_read(self, tmp_path, mark, header, end):
        file = tmp_path / "own.vec"
        words = [b"the", b"the", b"caf\xe9", b". . .", b"THE"]
        numbers = [" ".join([f"0.{n}"] * UNITS).encode() for n in range(1, 6)]
        tab = b"\t" if end == b"\r" else b" "
        lines = [word + tab + row + b" " + end for word, row in zip(words, numbers, strict=True)]
        file.write_bytes(mark + header.replace(b"\n", end) + b"".join(lines))
        rows = vector_files.read(str(file), frozenset({"the", ". . .", "The", "CAFE"}), UNITS)
        assert rows.words == 5
        assert rows.undecodable == 1
        assert sorted(rows.by_word) == [". . .", "the"]
        assert rows.by_word["the"].tolist() == pytest.approx([0.1] * UNITS)
        assert not rows.lower_case
        vector_files.check(str(file), UNITS)

    def test_the_first_lines_are_judged_before_the_first_step_runs(self, tmp_path):
        good, bad = (write(tmp_path / name, vectors("cat", "the")) for name in ("a.vec", "b.vec"))
        Path(bad).write_text("2 300\nthe 0.1\n")
        Trainer().check_files(parameters_of(source=good))
        Trainer().check_files(Parameters())
        with pytest.raises(DataError, match=r"b\.vec"):
            Trainer().check_files(parameters_of(source=good, target=bad))

    def test_a_truncated_gzip_file_is_refused(self, tmp_path):
        file = Path(write(tmp_path / "v.vec.gz", vectors(*(f"w{n}" for n in range(200)))))
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(DataError, match="v.vec.gz"):
            vector_files.read(str(file), frozenset({"w1"}), UNITS)

    @given(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=1)
        )
    )
    def test_words_of_any_characters_are_found(self, tmp_path_factory, words):
        table = vectors(*dict.fromkeys([*words, "a b"]))
        path = write(tmp_path_factory.mktemp("v") / "v.vec", table)
        rows = vector_files.read(path, frozenset(table), UNITS)
        assert rows.words == len(table)
        assert all(np.allclose(rows.by_word[word], table[word]) for word in table)


@pytest.mark.parametrize("optimizer", [{}, {"weight_decay": 0.3}, {"average_checkpoints": 2}])
def test_frozen_rows_stay_and_do_not_count_in_the_norm(optimizer):
    values = np.arange(6, dtype=np.float32).reshape(3, 2) + 1
    table, bias = tf.Variable(values), tf.Variable([1.0, 2.0])
    parameters = Parameters(steps=2000, optimizer=OptimizerParameters(**{"average_decay": 0.9, **optimizer}))
    training = Optimizer(parameters, [table, bias], [np.array([True, False, True]), None])
    for _ in range(5):
        norm = training.apply([tf.fill([3, 2], 3.0), tf.constant([4.0, 0.0])])
        assert float(norm) == pytest.approx((2 * 9 + 16) ** 0.5)
        training.snapshot()
    np.testing.assert_array_equal(table.numpy()[[0, 2]], values[[0, 2]])
    assert (table.numpy()[1] != values[1]).all()
    training.swap()
    np.testing.assert_allclose(table.numpy()[[0, 2]], values[[0, 2]], rtol=1e-6)


def test_the_files_are_external_inputs():
    assert Trainer().external_inputs(Parameters()) == []
    files = EmbeddingParameters(source="a.vec", target="b.vec.gz")
    assert Trainer().external_inputs(Parameters(embeddings=files)) == ["a.vec", "b.vec.gz"]
    warm = changed(Parameters(embeddings=files), warm_start={"model": "last_blessed"})
    assert Trainer().external_inputs(warm) == ["a.vec", "b.vec.gz"]


def test_freeze_needs_a_file():
    with pytest.raises(ValueError, match="freeze needs source or target"):
        EmbeddingParameters(freeze=True)
