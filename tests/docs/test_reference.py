"""The reference says what each name means, and says it of one name at a time."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from docs.tools import reference, signatures

ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$", re.MULTILINE)


def tables(page: str) -> dict[str, dict[str, str]]:
    """The meanings of the fields, by the title of the section with the table."""
    title, *sections = re.split(r"^##+ ", page, flags=re.MULTILINE)
    return {section.split("\n", 1)[0]: dict(ROW.findall(section)) for section in (title, *sections)}


def test_every_field_of_an_artifact_has_a_meaning_of_its_own() -> None:
    fields = tables(reference.artifacts())
    assert {"file", "line"} <= set(fields["Reject"])
    assert {"vocabulary", "merges"} <= set(fields["SideFiles"])
    for title, meanings in fields.items():
        assert all(meanings.values()), (title, meanings)
        repeated = [text for text, count in Counter(meanings.values()).items() if count > 1]
        assert not repeated, (title, repeated)


def test_every_key_of_the_configuration_has_a_meaning() -> None:
    from bitext.pipeline.config.reference import all_keys

    keys = list(all_keys())
    assert len(keys) > 100
    assert [key.name for key in keys if not key.meaning.strip()] == []


@pytest.mark.parametrize(
    ("signature", "words"),
    [("translate_sample", "`log_prob`"), ("translate_nbest", "ranked by"), ("serving_default", "ranked by")],
)
def test_the_score_of_samples_is_not_that_of_the_search(signature: str, words: str) -> None:
    import tensorflow as tf

    spec = tf.TensorSpec([None, None] if signature.startswith("translate") else [None], tf.float32)
    described = signatures._tensor(signature, "score", spec, several=signature.startswith("translate"))
    assert words in described["meaning"]
