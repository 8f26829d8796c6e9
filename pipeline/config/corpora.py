"""Fills keys of `example_gen` into the corpora and the test sets that do not give them."""

from __future__ import annotations

from bitext.components.example_gen import FILE_KEYS, CorpusOptions
from bitext.pipeline.config.aliases import RawConfig


def fill_in_common_keys(raw: RawConfig) -> None:
    """Changes the values in place. Values of a wrong type are left for the check of types."""
    section, evaluator = (raw.values.get(name) for name in ("example_gen", "evaluator"))
    if not isinstance(section, dict):
        return
    common = [name for name in CorpusOptions.__struct_fields__ if name in section and name not in FILE_KEYS]
    lists = [section.get("corpora"), evaluator.get("test_sets") if isinstance(evaluator, dict) else None]
    for corpora in (entries for entries in lists if isinstance(entries, list)):
        for index, corpus in enumerate(corpora):
            if isinstance(corpus, dict):
                corpora[index] = {name: section[name] for name in common} | corpus
