"""Errors name the keys of a corpus where they stand: in `example_gen`, or in an entry of a list."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from bitext.components.example_gen.corpus import CorpusOptions
from bitext.components.shared.errors import BitextError

CORPORA, TEST_SETS = "example_gen.corpora", "evaluator.test_sets"
_KEY = re.compile(rf"\bexample_gen\.(?=(?:{'|'.join(CorpusOptions.__struct_fields__)})\b)")


@contextlib.contextmanager
def keys_of(name: str, place: str) -> Iterator[None]:
    """Puts the place into errors of the block: `example_gen.corpora[law].header` for `example_gen.header`.

    Args:
      name: the name of the corpus or test set; empty: its keys stand in `example_gen`.
      place: the key of the list, `CORPORA` or `TEST_SETS`.
    """
    try:
        yield
    except BitextError as error:
        if name:
            error.remedy = _KEY.sub(f"{place}[{name}].", error.remedy)
            error.args = (_KEY.sub(f"{place}[{name}].", str(error)),)
        raise
