"""The vocabularies that a user gives, and what the transform graph records of each side."""

from __future__ import annotations

import dataclasses

import msgspec
import tensorflow as tf

from bitext.components import artifacts
from bitext.components.artifacts import OF_LEARNED, Segmentation, SideFiles, TextFile
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import ConfigError
from bitext.components.text import TextSettings, pretokens, processor
from bitext.components.text import given as given_vocabulary
from bitext.components.transform import Parameters, WeightedParameters, vocabulary

SIDES = ("source", "target")


@dataclasses.dataclass(frozen=True)
class GivenSides:
    """The given vocabulary of each side; None: it is learned. A joint one is the same object twice."""

    source: given_vocabulary.Given | None = None
    target: given_vocabulary.Given | None = None

    @classmethod
    def read(cls, parameters: Parameters) -> GivenSides:
        """Reads the files that the parameters name.

        Raises:
          DataError: a file cannot be read, or bitext cannot apply it.
        """
        files = dict.fromkeys(filter(None, parameters.vocabulary_files.values()))
        given = {file: given_vocabulary.read(file) for file in files}
        return cls(**{side: given.get(file) for side, file in parameters.vocabulary_files.items()})

    def of(self, side: str) -> given_vocabulary.Given | None:
        """The given vocabulary of a side."""
        return self.source if side == "source" else self.target

    def segmentation(self, side: str) -> Segmentation:
        """How the text of a side becomes words."""
        given = self.of(side)
        return OF_LEARNED if given is None else given.segmentation

    def check_whole_tokens(self, settings: TextSettings) -> None:
        """Checks that the files' own normalization leaves the listed texts that stay whole as they are.

        Raises:
          ConfigError: a text is changed, so that it would never be found.
        """
        for side in SIDES:
            given = self.of(side)
            if given is None or not settings.whole_tokens:
                continue
            changed = pretokens.replaced(tf.constant(settings.whole_tokens), given.segmentation)
            for text, after in zip(settings.whole_tokens, changed.numpy().tolist(), strict=True):
                if after.decode() != text:
                    raise ConfigError(
                        f"{path_text(given.file)} normalizes {text!r} to {after.decode()!r}, so a text or"
                        f" tag {text!r} cannot stay whole",
                        f"write {after.decode()!r} in transform.whole_tokens, or as the tag of the corpus",
                    )

    def notes(self, parameters: Parameters) -> list[str]:
        """Returns lines about the files for the user."""
        distinct = dict.fromkeys(given.file for side in SIDES if (given := self.of(side)))
        by_file = {given.file: given for side in SIDES if (given := self.of(side))}
        return [line for file in distinct for line in by_file[file].notes(fold_quotes=parameters.fold_quotes)]


def text_settings(parameters: Parameters) -> TextSettings:
    """Returns the text settings among the parameters. The tags of corpora stay whole too."""
    settings = TextSettings(
        unit=parameters.unit, lowercase=parameters.lowercase, fold_quotes=parameters.fold_quotes
    )
    texts = list(parameters.whole_tokens)
    if isinstance(parameters, WeightedParameters):
        texts += [use.tag for use in parameters.corpora if use.tag]
    if texts:
        with tf.init_scope():  # a graph may be under construction
            normalized = processor.normalize(tf.constant(texts), settings).numpy().tolist()
        texts = list(dict.fromkeys(text.decode() for text in normalized))
    return msgspec.structs.replace(
        settings,
        whole_tokens=tuple(texts),
        whole_token_pattern=parameters.whole_token_pattern,
    )


def text_file(parameters: Parameters, graph: artifacts.TransformGraph, given: GivenSides) -> TextFile:
    """Returns how text becomes tokens, with the vocabulary files that TFT wrote."""
    sides = {}
    for side in SIDES:
        prefix = "" if parameters.shared_vocabulary else vocabulary.side_prefix(side)
        paths = {
            kind: next(graph.assets.glob(vocabulary.asset_name(prefix, kind, "*")))
            for kind in ("vocabulary", "merges")
        }
        sides[side] = SideFiles(
            vocabulary=str(paths["vocabulary"].relative_to(graph.path)),
            merges=str(paths["merges"].relative_to(graph.path)),
            size=paths["vocabulary"].read_bytes().count(b"\n"),
            segmentation=given.segmentation(side),
        )
    return TextFile(
        settings=text_settings(parameters),
        shared=parameters.shared_vocabulary,
        source_max_length=parameters.source_max_length,
        source_language=parameters.source_language,
        **sides,
    )
