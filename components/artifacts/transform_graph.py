"""TransformGraph: the TensorFlow Transform graph, the vocabularies, and the text settings."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.shared.files import digest_of_files, write_json

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2


_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{12})\.txt$")


def vocabulary_digest(content: bytes) -> str:
    """Returns the digest in the names of a side's vocabulary files.

    Args:
      content: the bytes of the vocabulary file, then those of the merges file.
    """
    return hashlib.sha256(content).hexdigest()[:12]


Unit = Literal["subword", "word", "character"]


class TextSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How text becomes tokens.

    Attributes:
      unit: `subword` (byte-pair encoding), `word` or `character`. A word that is not in the vocabulary is
        unknown. With the other units, a character that is not in the vocabulary becomes its UTF-8 bytes, so
        no text is lost.
      lowercase: whether normalization converts to lower case.
      fold_quotes: whether normalization makes typographic quotation marks and apostrophes " and '.
      whole_tokens: normalized texts that are one token each.
      whole_token_pattern: a regular expression (RE2) for texts that are not split; empty: none.
    """

    unit: Unit = "subword"
    lowercase: bool = False
    fold_quotes: bool = True
    whole_tokens: tuple[str, ...] = ()
    whole_token_pattern: str = ""

    @property
    def keeps_whole(self) -> bool:
        """Whether some texts stay whole."""
        return bool(self.whole_tokens or self.whole_token_pattern)


class Segmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the normalized text of one side becomes words, and how their symbols merge.

    The default is that of a vocabulary that Transform learns. The vocabulary of a user's file has that of the
    program that made the file.

    Attributes:
      split: whether a word is a pretoken of bitext, what is between two spaces, or the whole text.
      mark: where U+2581 stands for a space: before each word, between words, or after each word.
      model: whether symbols merge (byte-pair encoding), or the most probable pieces are searched (unigram).
      all_occurrences: whether all occurrences of a pair in a word are merged before the next pair is chosen.
      replacements: what replaces characters before the text is split.
      keeps_spaces: whether several spaces that come from replacements stay.
      symbols: texts that are one token each wherever they stand.
    """

    split: Literal["pretokens", "spaces", "nothing"] = "pretokens"
    mark: Literal["before", "between", "after"] = "before"
    model: Literal["bpe", "unigram"] = "bpe"
    all_occurrences: bool = False
    replacements: dict[str, str] = {}
    keeps_spaces: bool = False
    symbols: tuple[str, ...] = ()


OF_LEARNED = Segmentation()
"""The segmentation of a vocabulary that Transform learns."""


class SideFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One side's vocabulary files. Their paths are relative to the transform graph.

    Attributes:
      vocabulary: the file with the piece of each id.
      merges: the file with the pairs of pieces that merge, or with the trie of a unigram model.
      size: number of ids.
      segmentation: how text becomes words.
    """

    vocabulary: str
    merges: str
    size: Annotated[int, msgspec.Meta(ge=1)]
    segmentation: Segmentation = Segmentation()


class TextFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `text.json`: how text becomes tokens.

    Attributes:
      settings: the settings of both sides.
      shared: whether both sides have one vocabulary, so that `source` and `target` are equal.
      source_max_length: maximum number of tokens of a source, `</s>` included.
      source: the files of the source side.
      target: the files of the target side.
      source_language: the language of the source, ISO 639-1; empty: unknown.
    """

    settings: TextSettings
    shared: bool
    source_max_length: Annotated[int, msgspec.Meta(ge=2)]
    source: SideFiles
    target: SideFiles
    source_language: str = ""


class TransformGraph(Artifact):
    """TensorFlow Transform's output::

    transform_fn/saved_model.pb, transform_fn/assets/<vocabulary files>
    transformed_metadata/schema.pbtxt
    metadata/schema.pbtxt
    text.json               the text settings, vocabulary files and sizes
    """

    TYPE_NAME = "TransformGraph"
    FILES = ("text.json", "transform_fn", "transformed_metadata")
    NODE = "Transform"

    @property
    def graph(self) -> Path:
        """The SavedModel that TensorFlow Transform wrote."""
        return self.path / "transform_fn"

    @property
    def assets(self) -> Path:
        """The folder of the vocabulary files."""
        return self.graph / "assets"

    def content_digest(self) -> str:
        """Returns the SHA-256 of all files except the SavedModel: settings, vocabularies, feature schemas.

        TensorFlow numbers the functions of a SavedModel by a counter of the process, so equal graphs have
        different bytes. The other files and the code determine the graph, and the code is in the cache key of
        the node.
        """
        files = [path for path in self.path.rglob("*") if path.is_file()]
        return digest_of_files(
            self.path, [p for p in files if not p.is_relative_to(self.graph) or p.is_relative_to(self.assets)]
        )

    def text(self) -> TextFile:
        """Reads `text.json`.

        Raises:
          DataError: `text.json` is missing or malformed, or a vocabulary file it names is missing.
        """
        text = self.read_json(self.path / "text.json", TextFile)
        for side in (text.source, text.target):
            content = b""
            for name in (side.vocabulary, side.merges):
                with self.reporting_damage(self.path / name):
                    content += (self.path / name).read_bytes()
            digest = _DIGEST_IN_NAME.search(side.vocabulary)
            if digest and digest[1] != vocabulary_digest(content):
                raise self.damaged(self.path / side.vocabulary, f"or {side.merges} is damaged")
        return text

    def write_text(self, text: TextFile) -> None:
        """Writes `text.json`."""
        write_json(self.path / "text.json", text)

    def copy_text(self, folder: Path) -> None:
        """Copies `text.json` and the vocabulary files it names to a folder, side by side.

        Raises:
          DataError: one of them is missing or malformed.
        """
        text = self.text()

        def copy_side(files: SideFiles) -> SideFiles:
            for name in (files.vocabulary, files.merges):
                shutil.copyfile(self.path / name, folder / Path(name).name)
            return msgspec.structs.replace(
                files, vocabulary=Path(files.vocabulary).name, merges=Path(files.merges).name
            )

        copy = msgspec.structs.replace(text, source=copy_side(text.source), target=copy_side(text.target))
        write_json(folder / "text.json", copy)

    def write_feature_schema(self, schema: schema_pb2.Schema) -> None:
        """Writes the schema of the features that the graph reads."""
        from google.protobuf import text_format

        path = self.path / "metadata" / "schema.pbtxt"
        path.parent.mkdir()
        path.write_text(text_format.MessageToString(schema))
