"""Fills the keys beside `example_gen.corpora` into each corpus of the list that does not give them."""

from __future__ import annotations

from bitext.components.example_gen import FILE_KEYS, CorpusOptions
from bitext.pipeline.config.aliases import RawConfig


def fill_in_common_keys(raw: RawConfig) -> None:
    """Changes the values in place. Values of a wrong type are left for the check of types."""
    section = raw.values.get("example_gen")
    corpora = section.get("corpora") if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(corpora, list):
        return
    common = [name for name in CorpusOptions.__struct_fields__ if name in section and name not in FILE_KEYS]
    for index, corpus in enumerate(corpora):
        if isinstance(corpus, dict):
            corpora[index] = {name: section[name] for name in common} | corpus
