"""Downloads corpora into a local folder, with their licenses."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.components.shared.files import file_digest
from bitext.components.shared.suggestions import similar
from bitext.pipeline.fetch import tatoeba
from bitext.pipeline.fetch.families import FAMILIES, Corpus, Family

NOTE = """{file}: English-{language} pairs, {texts}.

License: {license}. The text of the license, as the package has it, is below.

Taken from:
{origin}
Column 0 of the file is English, column 1 the translation. Changed: tags of HTML and marks of keyboard
accelerators are taken out, line ends and tabs are spaces, contexts are dropped, paragraphs are split into
sentences where both languages have as many; texts without a translation are left out.

SHA-256 of {file}: {sha256}

--------------------------------------------------------------------------------
{license_text}"""


def fetch(name: str, directory: Path = Path("data"), say: Callable[[str], None] = print) -> Path:
    """Downloads a corpus and writes its license note; returns at once if the right file exists.

    Args:
      name: the name of a corpus, such as `tatoeba-es` or `libreoffice-ja`.
      directory: the folder for the corpus and for `<file>.LICENSE`. Created if it is missing.
      say: is called with a line before a download and one at the end.

    Returns:
      The path of the TSV file: source column 0 (English), target column 1, no header. In Tatoeba's, column 2
      is the attribution.

    Raises:
      ConfigError: no corpus has that name, or `directory` is a file.
      DataError: the download is damaged.
      EnvironmentFault: no network, a missing program, or the folder cannot be written.
    """
    family, language = check_name(name)
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--directory {directory} is not a folder", "name a folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if family is None:
            path = tatoeba.fetch_tatoeba(name, directory, say)
        else:
            path = _fetch_language(family, language, directory, say)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EnvironmentFault(
            f"cannot write {error.filename or directory}: {error.strerror or error}",
            f"{'free 120 MB' if full else 'make the folder writable'}, or name another with --directory",
        ) from error
    say(f"{path} is complete; its license: {note_of(path)}")
    return path


def check_name(name: str) -> tuple[Family | None, str]:
    """The family (None: Tatoeba) and the language that a name stands for.

    Raises:
      ConfigError: no corpus has that name.
    """
    if name in tatoeba.CORPORA:
        return None, ""
    prefix, _, language = name.lower().replace("_", "-").partition("-")
    if prefix not in FAMILIES:
        names = [*sorted(tatoeba.CORPORA), *(f"{known}-LANGUAGE" for known in FAMILIES)]
        meant = similar(name, names)
        hint = f"did you mean {meant}? " if meant else ""
        raise ConfigError(f"no corpus named {name!r}", f"{hint}choose one of: {', '.join(names)}")
    family = FAMILIES[prefix]
    if not family.has(language):
        raise family.unknown(language)
    return family, language


def note_of(path: Path) -> Path:
    """The license note of a corpus."""
    return path.with_name(path.name + ".LICENSE")


def overview() -> list[str]:
    """A line for every corpus or family of corpora: the name, what it is, its license, what downloads it."""
    lines = [
        f"{name}  {corpus.languages} sentences of Tatoeba; CC BY 2.0 FR; pip"
        for name, corpus in sorted(tatoeba.CORPORA.items())
    ]
    for family in FAMILIES.values():
        count = len(family.languages)
        what = f"English and {count} languages: {family.texts}"
        lines.append(f"{family.name}-LANGUAGE  {what}; {family.license}; {family.needs}")
    return lines


def _fetch_language(family: Family, language: str, directory: Path, say: Callable[[str], None]) -> Path:
    """Writes the corpus of one language into an existing folder; returns its path."""
    path = directory / f"{family.name}-{language}.tsv"
    if _is_complete(path):
        return path
    with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as folder:
        corpus = family.read(language, Path(folder), say)
        if not corpus.pairs:
            raise DataError(f"{family.name} has no translation into {language}", "choose another language")
        text = Path(folder) / path.name
        text.write_text("".join(f"{source}\t{target}\n" for source, target in corpus.pairs), "utf-8")
        note = Path(folder) / note_of(path).name
        note.write_text(_note(family, language, corpus, text), "utf-8")
        os.replace(text, path)
        os.replace(note, note_of(path))
    say(f"{len(corpus.pairs):,} pairs")
    return path


def _note(family: Family, language: str, corpus: Corpus, text: Path) -> str:
    """The license note of a corpus."""
    return NOTE.format(
        file=text.name,
        language=language,
        texts=family.texts,
        license=family.license,
        origin="".join(f"  {line}\n" for line in corpus.origin),
        sha256=file_digest(text),
        license_text=corpus.license_text,
    )


def _is_complete(path: Path) -> bool:
    """Whether the note beside a corpus names the hash of the corpus."""
    if not (path.is_file() and note_of(path).is_file()):
        return False
    return f"SHA-256 of {path.name}: {file_digest(path)}\n" in note_of(path).read_text("utf-8")
