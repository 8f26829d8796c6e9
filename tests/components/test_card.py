"""The model card: all that is on record and nothing that is not, whatever the values are made of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from components import artifacts
from components.pusher import COMPONENT, Stated, card
from components.seq2seq import ModelSettings, SearchSettings
from components.trainer import Parameters as TrainerParameters

BLEU = "nrefs:var|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
METRICS: dict[str, Any] = {
    "bleu": {"score": 40.541, "signature": BLEU, "interval": [39.16, 41.89]},
    "chrf": {"score": 59.56, "signature": BLEU.replace("tok:13a", "nc:6"), "interval": [58.55, 60.54]},
    "perplexity": 4.43,
    "length_ratio": 0.974,
    "by_source_length": [
        {"from": 1, "to": 24, "sentences": 2408, "bleu": 41.0},
        {"from": 25, "to": None, "sentences": 2, "bleu": 9.43},
    ],
    "sentences": 2410,
    "sentences_per_second": 83.1,
    "baseline": None,
}
SUMMARY: dict[str, Any] = {
    "rows": 140_868,
    "accepted": 140_860,
    "duplicates": 5,
    "rejected": 3,
    "reasons": {"length_ratio": 3},
    "splits": {"train": 135_139, "eval": 2854, "test": 2867},
    "sources_also_in_train": {"eval": 0, "test": 2},
    "max_reject_share": 0.05,
    "files": ["data/spa.tsv"],
}
SIDE = {"vocabulary": "v.txt", "merges": "m.txt", "size": 4000}
TEXT: dict[str, Any] = {
    "settings": {"unit": "subword", "lowercase": True},
    "shared": True,
    "source_max_length": 60,
    "source": SIDE,
    "target": SIDE,
}
FILES: dict[str, Any] = {
    "evaluation/metrics.json": METRICS,
    "rejects/summary.json": SUMMARY,
    "transform_graph/text.json": TEXT,
    "model/model.json": msgspec.to_builtins(TrainerParameters(seed=7)),
    "blessing/BLESSED": {"blessed": True, "reasons": ["BLEU 40.54 reaches the threshold min_bleu 25"]},
    "infra_blessing/INFRA_BLESSED": {"blessed": True, "reasons": ["20 samples"]},
}
PROPERTIES: dict[str, dict[str, artifacts.Property]] = {
    "model": {"weights": 3_341_216, "tensorflow": "2.16.2", "python": "3.11.7"},
    "transformed_examples": {"train_over_long": 13},
}
EVERY_SECTION = [
    *("# es-en, version 3", "Scores", "Use and limits"),
    *("Data", "Licence of the corpus", "Model", "Lineage"),
]


@pytest.fixture
def collect(tmp_path: Path) -> Any:
    """Makes artifacts that hold `files`, and the card of them."""

    def make(
        files: dict[str, Any] = FILES, properties: dict[str, Any] = PROPERTIES, **stated: str
    ) -> card.Card:
        inputs = {}
        for number, (name, kind) in enumerate(COMPONENT.inputs.items()):
            folder = tmp_path / "Node" / name / str(number)
            folder.mkdir(parents=True)
            inputs[name] = kind(folder, dict(properties.get(name, {})), None, f"{number}" * 64)
        for place, content in files.items():
            name, file = place.split("/")
            written = content if isinstance(content, bytes) else json.dumps(content).encode()
            (inputs[name].path / file).write_bytes(written)
        return card.collect(inputs, Stated(**stated), "es-en", 3, "sha256:abc", "20261123T133147Z-912e")

    return make


def sections(markdown: str) -> list[str]:
    return [line.removeprefix("## ") for line in markdown.splitlines() if line.startswith("#")]


def test_all_that_is_on_record_is_said(collect: Any) -> None:
    made = collect(languages="English to Spanish", corpus="Tatoeba", licence="CC BY 2.0 FR")
    text = card.markdown(made)
    assert sections(text) == EVERY_SECTION
    for words in (
        "translates from English to Spanish:",
        f"- BLEU 40.54 (95 % interval 39.16 to 41.89), `{BLEU}`",
        "- perplexity 4.43",
        "| 1-24 | 2,408 | 41.00 |\n| 25+ | 2 | 9.43 |",
        "- Evaluator: BLEU 40.54 reaches the threshold min_bleu 25",
        "- InfraValidator: 20 samples",
        "up to 60 tokens",
        "lower case",
        "| train | 135,139 |",
        "140,868 rows 5 were dropped as exact duplicates, 3 were refused (length_ratio 3).",
        "too: 2 of test. Pairs of train longer than is read of them: 13.",
        "- `data/spa.tsv`",
        "> CC BY 2.0 FR\n",
        "cell lstm, encoder_layers 1,",
        "seed 7",
        "| vocabulary | 4,000 shared, unit subword |",
        "| weights | 3,341,216 |",
        "| trained with | python 3.11.7, tensorflow 2.16.2 |",
        "run `20261123T133147Z-912e`",
        "| transform_graph | `Node/transform_graph/4` | `444444444444` |",
        "`sha256:abc`",
    ):
        assert words in text
    assert "warm_start" not in text


def test_the_json_is_of_the_documented_structure(collect: Any) -> None:
    made = collect(licence="CC0")
    written = card.files(made)
    assert set(written) == {card.JSON, card.MARKDOWN}
    assert msgspec.json.decode(written[card.JSON], type=card.Card) == made
    found = json.loads(written[card.JSON])
    assert list(found) == [
        *("format", "model", "version", "digest", "run_id", "stated", "scores", "blessings", "data"),
        *("over_long", "text", "weights", "settings", "software", "lineage"),
    ]
    assert found["scores"].items() <= METRICS.items()
    assert found["data"].items() <= SUMMARY.items()
    assert (found["settings"], found["text"]) == (FILES["model/model.json"], TEXT)
    assert list(found["lineage"]) == list(COMPONENT.inputs)
    assert found["lineage"]["model"] == {
        "type": "Model",
        "artifact": "Node/model/5",
        "digest": "5" * 64,
    }


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[]", {"bleu": 1, "search": [1]}], ids=str)
def test_what_is_not_on_record_is_not_said(collect: Any, content: Any) -> None:
    made = collect({} if content is None else dict.fromkeys(FILES, content), {})
    assert (made.scores, made.data, made.text, made.weights) == (None, None, None, None)
    text = card.markdown(made)
    assert sections(text) == ["# es-en, version 3", "Use and limits", "Licence of the corpus", "Lineage"]
    assert "None was stated. Find out" in text
    assert "translates:" in text
    assert not re.search(r"None\b(?! was stated)|null|nan", text)
    assert msgspec.json.decode(card.files(made)[card.JSON], type=card.Card) == made


def test_a_perplexity_that_is_not_finite_is_null_and_not_said(collect: Any) -> None:
    made = collect({"evaluation/metrics.json": METRICS | {"perplexity": None}})
    assert made.scores.perplexity is None
    assert "perplexity" not in card.markdown(made)


def test_no_value_breaks_the_page(collect: Any) -> None:
    licence = "\n# Free\n\n```\n## Scores\n<!-- not closed\n| a |\n\u2028[x](y)\n"
    summary = SUMMARY | {"files": ["data/a`b``.tsv", "дані/ü *.tsv"]}
    reasons = {"blessed": True, "reasons": ["a | b\n# c", "<b>*d*</b> _e_"]}
    made = collect(
        FILES | {"rejects/summary.json": summary, "blessing/BLESSED": reasons},
        languages="es *to*\nen | de",
        corpus="# Corpus\n## of [links](x)",
        licence=licence,
    )
    text = card.markdown(made)
    assert sections(text) == EVERY_SECTION
    assert "from es \\*to\\* en \\| de:" in text
    assert "\n\\# Corpus \\#\\# of \\[links\\](x)\n" in text
    assert "- Evaluator: a \\| b \\# c; \\<b\\>\\*d\\*\\</b\\> \\_e\\_\n" in text
    assert "- ``` data/a`b``.tsv ```\n- `дані/ü *.tsv`\n" in text
    quoted = "> # Free\n>\n> ```\n> ## Scores\n> <!-- not closed\n> | a |\n>\n> [x](y)"
    assert f"## Licence of the corpus\n\n{quoted}\n\n## Model\n" in text
    assert json.loads(card.files(made)[card.JSON])["stated"]["licence"] == licence


def test_the_settings_shown_are_the_trainers() -> None:
    kinds = {"model": ModelSettings, "search": SearchSettings, "": TrainerParameters}
    names = [name for group in card.MAIN_SETTINGS.values() for name in group]
    for name in names:
        section, _, field = name.rpartition(".")
        assert field in kinds[section].__struct_fields__, name
    assert len(set(names)) == len(names)
