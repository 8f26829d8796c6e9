"""Text to token ids and back: the one text path of the project, in core TensorFlow ops.

`processor.TextProcessor` is the graph, `learn` learns a vocabulary. Here are only the settings and `load`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.text.processor import TextPair

PAD_ID, BOS_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
WORD_BOUNDARY = "\u2581"
"""What a piece that begins a word begins with (sentencepiece's mark)."""
KEY_FACTOR = 2**32
"""A pair of ids is one number in the merges file: left * KEY_FACTOR + right."""

Unit = Literal["subword", "word", "character"]


class TextSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one side's text becomes tokens.

    Attributes:
      unit: `subword` (byte-pair encoding), `word` or `character`. Words can be unknown; a character that is
        not in the vocabulary is spelt in its UTF-8 bytes, so that nothing is lost.
      lowercase: whether normalizing lower-cases.
    """

    unit: Unit = "subword"
    lowercase: bool = False


class SideFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One side's vocabulary files, relative to the transform graph, and its number of ids."""

    vocabulary: str
    merges: str
    size: Annotated[int, msgspec.Meta(ge=1)]


class TextFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `text.json`.

    Attributes:
      settings: of both sides.
      shared: whether there is one vocabulary, so that `source` and `target` are equal.
      source_max_length: most tokens of a source, `</s>` included.
      source, target: each side's files.
    """

    settings: TextSettings
    shared: bool
    source_max_length: Annotated[int, msgspec.Meta(ge=2)]
    source: SideFiles
    target: SideFiles


def describe(folder: Path) -> TextFile:
    """The content of a folder's `text.json`.

    Raises:
      DataError: it is missing or malformed, or a vocabulary file it names is missing.
    """
    path = folder / "text.json"
    try:
        file = msgspec.json.decode(path.read_bytes(), type=TextFile)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(
            f"{path}: the text settings cannot be read: {error}", "Run Transform again."
        ) from error
    for name in (file.source.vocabulary, file.source.merges, file.target.vocabulary, file.target.merges):
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: the vocabulary file is missing", "Run Transform again.")
    return file


def copy(transform_graph: Path, folder: Path) -> None:
    """Copies `text.json` and the vocabulary files it names, side by side.

    Raises:
      DataError: one of them is missing or malformed.
    """
    file = describe(transform_graph)

    def side(files: SideFiles) -> SideFiles:
        for name in (files.vocabulary, files.merges):
            shutil.copyfile(transform_graph / name, folder / Path(name).name)
        return msgspec.structs.replace(
            files, vocabulary=Path(files.vocabulary).name, merges=Path(files.merges).name
        )

    copied = msgspec.structs.replace(file, source=side(file.source), target=side(file.target))
    (folder / "text.json").write_bytes(msgspec.json.format(msgspec.json.encode(copied)) + b"\n")


def load(transform_graph: Path) -> TextPair:
    """The text path described by `text.json` in a transform graph's folder.

    Raises:
      DataError: `text.json` or a vocabulary file is missing or malformed.
    """
    from bitext.components.text import processor

    return processor.load(transform_graph)
