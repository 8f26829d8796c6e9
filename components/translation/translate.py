"""Translating text with an exported SavedModel: in order, in batches of similar length.

Behind `bitext translate` and the Evaluator. TensorFlow is imported when a model is loaded, not before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bitext.components.shared import errors, reading
from bitext.components.shared.files import path_without_globs
from bitext.components.shared.imports import gc_disabled
from bitext.components.shared.parallel import side_by_side

MAX_BATCH_BYTES = 64 * 1024
"""A batch is padded to its longest line: rows times longest stays below this, so that memory does."""

READ_BYTES = 128 * 1024
"""Lines are sorted by length within what one read returns: a line at a terminal, 64 KiB from a pipe. A file's
lines are thus the same few thousand each time, and those `translation.bulk` translates apart."""


@dataclasses.dataclass(frozen=True)
class Search:
    """How to search. What is None is as in the model's default search (its signature `default_search`).

    Attributes:
      beam_size: hypotheses kept at each step.
      length_penalty: how strongly scores are normalised by length; 0: plain log probabilities.
      max_length: longest translation, in tokens.
      nbest: translations returned for each line.
    """

    beam_size: int | None = None
    length_penalty: float | None = None
    max_length: int | None = None
    nbest: int = 1

    def __post_init__(self) -> None:
        for name, least in (("beam_size", 1), ("max_length", 1), ("nbest", 1), ("length_penalty", 0)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise errors.ConfigError(f"{name} must be at least {least}, received {value}")
        if self.beam_size is not None and self.nbest > self.beam_size:
            raise errors.ConfigError(
                f"nbest {self.nbest} is more than beam_size {self.beam_size}: no beam holds more hypotheses",
                f"set beam_size to {self.nbest} or more",
            )

    @property
    def is_default(self) -> bool:
        """Whether the model's own default search is asked for."""
        return self == Search()


@dataclasses.dataclass(frozen=True)
class Translation:
    """One translation and its score, the length-normalised log probability."""

    text: str
    score: float


def find_saved_model(model: Path) -> Path:
    """The SavedModel folder that `model` stands for.

    Args:
      model: a SavedModel; a Model artifact (`Format-Serving/`); or a serving folder with integer versions, of
        which the newest is taken.

    Raises:
      errors.DataError: there is none.
    """
    for candidate in (model, model / "Format-Serving"):
        if (candidate / "saved_model.pb").is_file():
            return candidate
    versions = [p for p in model.glob("*") if p.name.isdecimal() and (p / "saved_model.pb").is_file()]
    if versions:
        return max(versions, key=lambda p: int(p.name))
    what = "holds no SavedModel and no numbered version of one" if model.is_dir() else "does not exist"
    raise errors.DataError(
        f"no model at {model}: the folder {what}",
        "run `bitext run` to train and push one, or name another folder with --model",
    )


class LineTranslator:
    """A loaded SavedModel that lines of text are put through.

    Args:
      model: as for `find_saved_model`.
      search: how to search.
      batch_size: most lines in one call of the model.

    Raises:
      errors.ConfigError: the batch size is not positive.
      errors.DataError: no model is there, or it cannot be loaded, or it lacks a signature.
    """

    def __init__(self, model: Path, search: Search | None = None, batch_size: int = 64):
        if batch_size < 1:
            raise errors.ConfigError(f"batch_size must be at least 1, received {batch_size}")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        self.path = find_saved_model(model)
        self.search = search or Search()
        self.batch_size = batch_size
        self._tf = tf
        try:
            # The signatures' variables live as long as the loaded object: it must be kept.
            with gc_disabled(), path_without_globs(self.path) as path:
                self._model = tf.saved_model.load(str(path))
        except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
            raise errors.DataError(
                f"the model at {self.path} cannot be loaded: {error}", "push it again with `bitext run`"
            ) from error

    def signature(self, name: str) -> Callable[..., dict[str, Any]]:
        """The signature's function: keyword tensors to a dictionary of tensors."""
        functions = self._model.signatures
        if name not in functions:
            raise errors.DataError(
                f"the model at {self.path} has no signature {name!r}; it has {sorted(functions)}",
                "export it again with this version of bitext",
            )
        function: Callable[..., dict[str, Any]] = functions[name]
        return function

    def translate(self, lines: Sequence[bytes]) -> list[list[Translation]]:
        """The best translations of each line, best first, in the order of the lines."""
        results: list[list[Translation]] = [[]] * len(lines)
        batches = list(length_sorted_batches([len(line) for line in lines], self.batch_size))
        found = side_by_side(lambda batch: self._call([lines[i] for i in batch]), batches)
        for batch, of_batch in zip(batches, found, strict=True):
            for index, translations in zip(batch, of_batch, strict=True):
                results[index] = translations
        return results

    def _call(self, lines: list[bytes]) -> list[list[Translation]]:
        """One batch through the model: a list of `nbest` translations for each line."""
        tf = self._tf
        text = tf.constant(lines, tf.string)
        if self._best_by_default:
            outputs = self.signature("serving_default")(text=text)
            texts, scores = outputs["text"].numpy()[:, None], outputs["score"].numpy()[:, None]
        else:
            outputs = self.signature("translate_nbest")(text=text, **self._nbest_inputs)
            texts, scores = outputs["text"].numpy(), outputs["score"].numpy()
        return [
            [
                Translation(one_line(t), float(s))
                for t, s in zip(row[: self.search.nbest], row_scores, strict=False)
            ]
            for row, row_scores in zip(texts, scores, strict=True)
        ]

    @functools.cached_property
    def _best_by_default(self) -> bool:
        """Whether the best translation by the model's default search is asked for, which is found sooner
        than several are."""
        if self.search.is_default:
            return True
        default = self.signature("default_search")()
        same = all(self._nbest_inputs[name].numpy() == default[name].numpy() for name in default)
        return same and self.search.nbest == 1

    @functools.cached_property
    def _nbest_inputs(self) -> dict[str, Any]:
        """The scalar inputs of `translate_nbest`."""
        search, default = self.search, self.signature("default_search")()
        given = {name: getattr(search, name) for name in default}
        if search.beam_size is None and search.nbest > int(default["beam_size"]):
            given["beam_size"] = search.nbest
        return {
            name: tensor if given[name] is None else self._tf.constant(given[name], tensor.dtype)
            for name, tensor in default.items()
        }


def one_line(text: bytes) -> str:
    """The text of one output line: a line break inside it would shift every line after it."""
    return " ".join(text.decode("utf-8", errors="replace").splitlines())


def length_sorted_batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices into `lengths`, longest first, in batches of at most `batch_size`.

    Longest first, so that a batch too large for the memory fails at the start and not at the end.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        rows = max(1, min(batch_size, MAX_BATCH_BYTES // max(1, lengths[order[start]])))
        yield order[start : start + rows]
        start += rows


def read_windows(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Whole lines, without their line ends, as they arrive: a list for every piece that ends a line.

    A terminal or a slow producer thus gets an answer to each line, and a file or a fast one large windows.
    """
    return map(lines_of, reading.whole_lines(pieces))


def lines_of(block: bytes) -> list[bytes]:
    """The lines of a block, without their line ends, be they those of Unix or of Windows."""
    return [line.removesuffix(b"\r") for line in reading.split_lines(block)]


def translate_lines(
    translator: LineTranslator, windows: Iterable[list[bytes]]
) -> Iterator[list[list[Translation]]]:
    """Translates window after window, in order. A blank line is not shown to the model, and stays empty."""
    for window in windows:
        asked = [i for i, line in enumerate(window) if line.strip()]
        results = [[Translation("", 0.0)] for _ in window]
        for i, translations in zip(asked, translator.translate([window[i] for i in asked]), strict=True):
            results[i] = translations
        yield results


def format_lines(results: list[list[Translation]], first_line: int, nbest: int) -> str:
    """A line for each translation; with several for a source, `line number <tab> score <tab> text`."""
    if nbest == 1:
        return "".join(f"{translations[0].text}\n" for translations in results)
    return "".join(
        f"{number}\t{t.score:.4f}\t{t.text}\n"
        for number, translations in enumerate(results, first_line)
        for t in translations
    )


def main_translate(
    model: Path,
    input: Path | None,
    output: Path | None,
    *,
    beam_size: int | None = None,
    length_penalty: float | None = None,
    max_length: int | None = None,
    nbest: int = 1,
    batch_size: int = 64,
) -> int:
    """The body of `bitext translate`.

    Args:
      model: as for `find_saved_model`.
      input: a file with a sentence on each line, plain, .gz, .bz2 or .zst; None reads standard input.
      output: the file to write, complete or not at all; None writes to standard output.
      beam_size, length_penalty, max_length, nbest: as for `Search`.
      batch_size: most lines in one call of the model.

    Returns:
      The exit code of the process.

    Raises:
      errors.ConfigError: the search is impossible, or the output is a folder.
      errors.DataError: the model or the input cannot be read.
      errors.EnvironmentFault: the output cannot be written.
    """
    search = Search(beam_size=beam_size, length_penalty=length_penalty, max_length=max_length, nbest=nbest)
    find_saved_model(model)
    with open_input(input) as pieces, open_output(output) as write:
        translator = LineTranslator(model, search, batch_size)
        windows = read_windows(pieces)
        if input is None and sys.stdin.isatty():
            windows = _prompted(windows)
        line = 1
        try:
            for results in translate_lines(translator, windows):
                write(format_lines(results, line, nbest).encode())
                line += len(results)
        except BrokenPipeError:
            # The reader (`head`) has had enough. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _prompted(windows: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Asks for each window at the terminal, on standard error. Ctrl-C ends the input as Ctrl-D does."""
    print("One sentence a line; Ctrl-D ends.", file=sys.stderr)
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        try:
            window = next(windows, None)
        except KeyboardInterrupt:
            window = None
        if window is None:
            print(file=sys.stderr)
            return
        yield window


@contextlib.contextmanager
def open_input(path: Path | None) -> Iterator[Iterator[bytes]]:
    """The pieces of a file, decompressed, each of `READ_BYTES`; of standard input, as they arrive."""
    if path is None:
        read = getattr(sys.stdin.buffer, "read1", sys.stdin.buffer.read)
        yield iter(lambda: read(READ_BYTES), b"")
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise errors.DataError(
            f"cannot read {path}: {error.strerror}", "name a text file with a sentence on each line"
        ) from error
    with stream:
        yield reading.pieces_of(stream, str(path), READ_BYTES)


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[Callable[[bytes], None]]:
    """A function that writes. A file gets its name only when it is complete."""
    if path is None:

        def write_out(data: bytes) -> None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

        yield write_out
        return
    refuse_folder(path)
    partial = path.with_name(f".{path.name}.partial")
    with faults_named(path):
        stream = partial.open("wb")

    def write_file(data: bytes) -> None:
        with faults_named(path):
            stream.write(data)

    try:
        yield write_file
        with faults_named(path):
            stream.close()  # which writes the rest
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            stream.close()
        partial.unlink(missing_ok=True)


def refuse_folder(path: Path) -> None:
    """Raises ConfigError if the output is a folder."""
    if path.is_dir():
        raise errors.ConfigError(f"cannot write {path}: it is a folder", "name a file with --output")


@contextlib.contextmanager
def faults_named(path: Path) -> Iterator[None]:
    """Says of an operating system error that the output cannot be written."""
    try:
        yield
    except OSError as error:
        raise errors.EnvironmentFault(
            f"cannot write {path}: {error.strerror}", "free space, or name another file with --output"
        ) from error
