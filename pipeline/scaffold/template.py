"""Writes the configuration of `bitext init`, with comments."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bitext.components.example_gen import preview
from bitext.components.shared.reading import ENDINGS
from bitext.pipeline.scaffold.looking import Look
from bitext.pipeline.scaffold.sides import Found, Options


def name_of(path: str) -> str:
    """Returns a name for a corpus or a pipeline, from the name of a file."""
    stem = path.rpartition("//")[2].rpartition("/")[2]
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(stem).stem).strip("-._")
    return name[:60] or "corpus"


def section(found: Sequence[Found]) -> Options:
    """Returns the values of `example_gen`: of one corpus, or of a list with those that several share once."""
    merged = _merged(found)
    if len(merged) == 1:
        return merged[0]
    names: list[str] = []
    corpora = []
    for options in merged:
        [first, *_] = options.get("files") or options["source_files"]
        name = base = name_of(first)
        while name in names:
            name = f"{base}-{len(names)}"
        names.append(name)
        corpora.append({"name": name, **options})
    return {"corpora": corpora}


def _merged(found: Sequence[Found]) -> list[Options]:
    """The options, with the files of those that are read in the same way together."""
    merged: list[Options] = []
    keys = ("files", "source_files", "target_files")
    for options in (dict(each.options) for each in found):
        how = {key: value for key, value in options.items() if key not in keys}
        for other in merged:
            if {key: value for key, value in other.items() if key not in keys} == how:
                for key in keys:
                    if key in options:
                        other[key] = [*other[key], *options[key]]
                break
        else:
            merged.append(options)
    return merged


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of a configuration.

    Attributes:
      command: the command that wrote it.
      file: its name, for the comment.
      name: name of the pipeline.
      example_gen: the values of `example_gen`.
      language: language of the source, as a code; empty: not known.
      shared: whether both sides share a vocabulary.
    """

    command: str
    file: str
    name: str
    example_gen: Options
    language: str
    shared: bool = True


def fitted(values: Values, look: Look) -> Values:
    """Returns the values for rows that look like this: with their language, or two vocabularies."""
    if look.sides is None:
        return values
    source, target = look.sides
    return dataclasses.replace(
        values,
        language=values.language or preview.dominant_language(source.languages),
        shared=values.shared and source.script == target.script,
    )


def allowing(values: Values, corpus: str, share: float) -> Values:
    """Returns the values with the `max_reject_share` of a corpus (empty: of the only one); 0: as it is."""
    if not share:
        return values
    options, limit = values.example_gen, {"max_reject_share": share}
    if corpora := options.get("corpora"):
        options = {"corpora": [c | limit if c["name"] == corpus else c for c in corpora]}
    else:
        options = options | limit
    return dataclasses.replace(values, example_gen=options)


def render(values: Values) -> str:
    """Returns the configuration as YAML."""
    language = re.split("[-_]", values.language)[0].lower()
    lines = [
        f"# Written by: {values.command}",
        f"# Check the data: bitext inspect {values.file}    Train: bitext run {values.file}",
        "# Every key: bitext config    One key: bitext config --explain KEY",
        f"name: {_plain(values.name)}",
        "",
        "example_gen:",
        *_indented(values.example_gen),
        "  # cleaning: strict          # more rules against pairs that are no translations; basic by default",
        "  # golden: {files: [FILE]}   # a test set that never changes",
        "",
        "transform:",
        "  vocabulary_size: auto       # by the number of training pairs",
        *([] if values.shared else ["  shared_vocabulary: false    # the sides are in different scripts"]),
        *([f"  source_language: {_plain(language)}"] if re.fullmatch("[a-z]{2,3}", language) else []),
        "",
        "trainer:",
        "  steps: auto                 # by the number of training pairs",
        "",
        "evaluator:",
        "  min_bleu: 0                 # the lowest BLEU that is published",
        "",
    ]
    return "\n".join(lines)


def _indented(values: Options) -> list[str]:
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=110, default_flow_style=False)
    return [f"  {line}" for line in text.splitlines()]


def _plain(value: Any) -> str:
    return str(yaml.safe_dump(value, allow_unicode=True)).splitlines()[0]
