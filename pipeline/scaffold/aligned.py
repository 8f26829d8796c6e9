"""Two aligned files: one sentence a line."""

from __future__ import annotations

from bitext.components.example_gen import detection
from bitext.components.example_gen.detection import Detected
from bitext.components.example_gen.formats.guards import is_language_code
from bitext.components.shared.display import path_text, shell_path
from bitext.components.shared.errors import DataError
from bitext.pipeline.scaffold.sides import Found, Options, as_in, fit


def aligned(
    first: tuple[str, Detected], second: tuple[str, Detected], asked: tuple[str, str], other: Found | None
) -> Found:
    """Two aligned files.

    Args:
      first, second: the files, in the order given.
      asked: the languages that are asked for; empty: none.
      other: the first of all files; None: these are.

    Raises:
      DataError: the names of the files end in other languages than those asked for, or the encodings differ.
    """
    codes = [detection.language_of(path) for path, _ in (first, second)]
    like, ordered = as_in(other, codes)
    wanted = (asked[0] or like[0], asked[1] or like[1])
    if fit(wanted, codes[::-1]) > fit(wanted, codes):
        first, second, codes = second, first, codes[::-1]
    if fit(wanted, codes) < 0:
        raise DataError(
            f"{path_text(first[0])} and {path_text(second[0])} are {codes[0] or 'unknown'} and"
            f" {codes[1] or 'unknown'} by their names, not {' and '.join(filter(None, asked))}",
            "correct --source and --target, or leave them out and name the source file first",
        )
    languages = (asked[0] or codes[0], asked[1] or codes[1])
    options = _options(first, second)
    title = f"{path_text(first[0])} and {path_text(second[0])}: two aligned files"
    names = (codes[0], codes[1]) if all(codes) else ("", "")
    known = all(map(is_language_code, languages))
    return Found(
        title, options, languages if known else ("", ""), (*first[1].notes, *second[1].notes, *ordered), names
    )


def _options(first: tuple[str, Detected], second: tuple[str, Detected]) -> Options:
    (source_path, one), (target_path, other) = first, second
    options: Options = {"format": "parallel"}
    if one.encoding == other.encoding != "utf-8":
        options["encoding"] = one.encoding
    elif one.encoding != other.encoding:
        path, encoding = (
            (source_path, one.encoding) if other.encoding == "utf-8" else (target_path, other.encoding)
        )
        raise DataError(
            f"{path_text(source_path)} is {one.encoding}, and {path_text(target_path)} is {other.encoding}",
            f"convert one of them: iconv -f {encoding.upper()} -t UTF-8 {shell_path(path)} > NEW",
        )
    return options | {"source_files": [source_path], "target_files": [target_path]}
