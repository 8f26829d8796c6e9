"""The model card: it has all recorded values and no other values, and Markdown in values is escaped."""

from __future__ import annotations

import json
import operator
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitext.components import artifacts
from bitext.components.artifacts import ServedVersion, TextFile, VersionMetadata
from bitext.components.pusher import CardSettings, Pusher, card
from bitext.components.pusher.card_markdown import MAIN_SETTINGS, card_files, markdown
from bitext.components.trainer import Parameters as TrainerParameters

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
    "source_unit": "words",
    "tokenizer": "13a",
    "sentences": 2410,
    "sentences_per_second": 83.1,
    "baseline": None,
    "trivial": {
        "copied_source": {"scores": {"bleu": 0.61, "chrf": 15.2}, "p_values": {}, "text": None},
        "frequent_target": {"scores": {"chrf": 5.5}, "p_values": {}, "text": "No lo *sé*."},
    },
    "golden": None,
    "test_sets": {},
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
    "settings": {"unit": "subword", "lowercase": True, "fold_quotes": True},
    "shared": True,
    "source_max_length": 60,
    "source": SIDE,
    "target": SIDE,
    "source_language": "",
}
FILES: dict[str, Any] = {
    "evaluation/metrics.json": METRICS,
    "rejects/summary.json": SUMMARY,
    "transform_graph/text.json": TEXT,
    "transform_graph/v.txt": b"",
    "transform_graph/m.txt": b"",
    "model/model.json": msgspec.to_builtins(TrainerParameters(seed=7)),
    "blessing/BLESSED": {"blessed": True, "reasons": ["BLEU 40.54 reaches the threshold min_bleu 25"]},
    "infra_blessing/INFRA_BLESSED": {"blessed": True, "reasons": ["20 samples"]},
}
PROPERTIES: dict[str, dict[str, artifacts.Property]] = {
    "model": {"weights": 3_341_216, "tensorflow": "2.16.2", "python": "3.11.7"},
    "transformed_examples": {"train_over_long": 13, "synthetic_forward": 1200, "synthetic_backward": 34},
}
EVERY_SECTION = [
    *("# es-en, version 3", "Scores", "Use and limits"),
    *("Data", "License of the corpus", "Model", "Lineage"),
]


@pytest.fixture
def collect(tmp_path: Path) -> Any:
    """Returns a function that writes artifacts with the given files and collects their card."""

    def write_and_collect(
        files: dict[str, Any] = FILES, properties: dict[str, Any] = PROPERTIES, **stated: str
    ) -> card.Card:
        inputs = {}
        for number, (name, kind) in enumerate(Pusher.inputs.items()):
            folder = tmp_path / "Node" / name / str(number)
            folder.mkdir(parents=True)
            inputs[name] = kind(folder, dict(properties.get(name, {})), None, f"{number}" * 64)
        for path, content in files.items():
            name, file = path.split("/")
            encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
            (inputs[name].path / file).write_bytes(encoded)
        by_name = {name: [a] if name in Pusher.list_inputs else a for name, a in inputs.items()}
        metadata = VersionMetadata("sha256:abc")
        return card.collect(
            card.Inputs(**by_name), CardSettings(**stated), "es-en", 3, metadata, "20261123T133147Z-912e"
        )

    return write_and_collect


def sections(markdown: str) -> list[str]:
    """Returns the headings of a Markdown text."""
    return [line.removeprefix("## ") for line in markdown.splitlines() if line.startswith("#")]


def test_the_markdown_states_every_recorded_value(collect: Any) -> None:
    model_card = collect(languages="English to Spanish", corpus="Tatoeba", licence="CC BY 2.0 FR")
    text = markdown(model_card)
    assert sections(text) == EVERY_SECTION
    for expected in (
        "translates from English to Spanish:",
        f"- BLEU 40.54 (95 % interval 39.16 to 41.89), `{BLEU}`",
        "- perplexity 4.43",
        "- copied source: BLEU 0.61, chrF 15.20\n- frequent target (No lo \\*sé\\*.): chrF 5.50\n",
        "| 1-24 | 2,408 | 41.00 |\n| 25+ | 2 | 9.43 |",
        "- Evaluator: BLEU 40.54 reaches the threshold min_bleu 25",
        "- InfraValidator: 20 samples",
        "up to 60 tokens",
        "lower case",
        "| train | 135,139 |",
        "140,868 rows, 5 were dropped as exact duplicates and 3 were rejected (length_ratio 3).",
        "has too: 2 of test. Training pairs with more tokens than the model reads: 13.",
        "also trained on 1,234 synthetic pairs, in which one side is the translation of a teacher model:"
        " training sources 1,200, training targets 34. The eval and test splits have none.",
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
        assert expected in text
    for unexpected in ("warm_start", "golden", "by force", "rollback"):
        assert unexpected not in text


def test_the_json_has_the_documented_fields(collect: Any) -> None:
    model_card = collect(licence="CC0")
    written = card_files(model_card)
    assert set(written) == {ServedVersion.CARD_JSON, ServedVersion.CARD_MARKDOWN}
    assert card.Card.decode(written[ServedVersion.CARD_JSON]) == model_card
    content = json.loads(written[ServedVersion.CARD_JSON])
    assert list(content) == [
        *("format", "model", "version", "digest", "rolled_back_to", "withdrawn", "run_id", "stated"),
        *("scores", "blessings", "forced", "data", "over_long", "synthetic", "text", "weights", "settings"),
        *("software", "lineage"),
    ]
    assert content["format"] == 2
    assert content["scores"] == METRICS
    assert content["data"] == SUMMARY | {
        "golden_removed": 0,
        "length_ratio": None,
        "cleaning": "",
        "fixed": {},
        "corpus": "",
        "left_out": {},
    }
    text = json.loads(msgspec.json.encode(msgspec.convert(TEXT, TextFile)))  # with the defaults
    assert (content["settings"], content["text"]) == (FILES["model/model.json"], text)
    assert list(content["lineage"]) == list(Pusher.inputs)
    assert content["lineage"]["model"] == {
        "type": "Model",
        "artifact": "Node/model/5",
        "digest": "5" * 64,
    }
    assert content["lineage"]["rejects"] == [
        {"type": "Rejects", "artifact": "Node/rejects/1", "digest": "1" * 64}
    ]


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[]", {"bleu": 1, "search": [1]}], ids=str)
def test_fields_of_missing_or_damaged_files_are_empty(collect: Any, content: Any) -> None:
    model_card = collect({} if content is None else dict.fromkeys(FILES, content), {})
    assert (model_card.scores, model_card.data, model_card.text, model_card.weights) == (
        None,
        None,
        None,
        None,
    )
    text = markdown(model_card)
    assert sections(text) == ["# es-en, version 3", "Use and limits", "License of the corpus", "Lineage"]
    assert "None was stated. Find out" in text
    assert "translates:" in text
    assert not re.search(r"None\b(?! was stated)|null|nan", text)
    assert card.Card.decode(card_files(model_card)[ServedVersion.CARD_JSON]) == model_card


def test_a_perplexity_that_is_not_finite_is_null_and_left_out(collect: Any) -> None:
    model_card = collect({"evaluation/metrics.json": METRICS | {"perplexity": None}})
    assert model_card.scores.perplexity is None
    assert "perplexity" not in markdown(model_card)


def test_markdown_in_values_is_escaped(collect: Any) -> None:
    license_text = "\n# Free\n\n```\n## Scores\n<!-- not closed\n| a |\n\u2028[x](y)\n"
    summary = SUMMARY | {"files": ["data/a`b``.tsv", "дані/ü *.tsv"]}
    reasons = {"blessed": True, "reasons": ["a | b\n# c", "<b>*d*</b> _e_"]}
    model_card = collect(
        FILES | {"rejects/summary.json": summary, "blessing/BLESSED": reasons},
        languages="es *to*\nen | de",
        corpus="# Corpus\n## of [links](x)",
        licence=license_text,
    )
    text = markdown(model_card)
    assert sections(text) == EVERY_SECTION
    assert "from es \\*to\\* en \\| de:" in text
    assert "\n\\# Corpus \\#\\# of \\[links\\](x)\n" in text
    assert "- Evaluator: a \\| b \\# c; \\<b\\>\\*d\\*\\</b\\> \\_e\\_\n" in text
    assert "- ``` data/a`b``.tsv ```\n- `дані/ü *.tsv`\n" in text
    quoted = "> # Free\n>\n> ```\n> ## Scores\n> <!-- not closed\n> | a |\n>\n> [x](y)"
    assert f"## License of the corpus\n\n{quoted}\n\n## Model\n" in text
    assert json.loads(card_files(model_card)[ServedVersion.CARD_JSON])["stated"]["licence"] == license_text


def test_all_settings_on_the_card_are_parameters_of_the_trainer() -> None:
    names = [name for group in MAIN_SETTINGS.values() for name in group]
    for name in names:
        operator.attrgetter(name)(TrainerParameters())
    assert len(set(names)) == len(names)


def test_the_card_has_the_golden_set_and_a_forced_blessing(collect: Any) -> None:
    others = ("golden", "test_sets")
    golden = {name: value for name, value in METRICS.items() if name not in others} | {"sentences": 1234}
    verdict = {"blessed": True, "reasons": ["below", "forced: a *demo*"], "forced": "a *demo*"}
    model_card = collect(
        FILES
        | {
            "evaluation/metrics.json": METRICS
            | {"golden": golden, "test_sets": {"news": golden | {"sentences": 56}}},
            "blessing/BLESSED": verdict,
        }
    )
    assert model_card.forced == "a *demo*"
    text = markdown(model_card)
    assert "On the golden set, 1,234 sentences:\n\n- BLEU 40.54 (95 %" in text
    assert "On the test set news, 56 sentences:\n\n- BLEU 40.54 (95 %" in text
    assert "\n**Blessed by force**, whatever its scores: a \\*demo\\*\n" in text
    assert "- Evaluator: below; forced: a \\*demo\\*\n" in text
    assert (
        json.loads(card_files(model_card)[ServedVersion.CARD_JSON])["scores"]["golden"]["sentences"] == 1234
    )


class TestSpans:
    def collect(self, root: Path, summaries: list[dict[str, Any] | None]) -> card.Card:
        """Collects the card of a model that was trained on one span for each summary of rejects."""
        inputs: dict[str, Any] = {}
        for name, kind in Pusher.inputs.items():
            is_list = name in Pusher.list_inputs
            inputs[name] = [
                kind(root / "Node" / name / str(number), {}, None, f"{number:064}")
                for number in range(len(summaries) if is_list else 1)
            ]
            for artifact in inputs[name]:
                artifact.path.mkdir(parents=True)
            if not is_list:
                [inputs[name]] = inputs[name]
        for rejects, summary in zip(inputs["rejects"], summaries, strict=True):
            if summary is not None:
                (rejects.path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        return card.collect(
            card.Inputs(**inputs), CardSettings(), "es-en", 1, VersionMetadata("sha256:abc"), "run"
        )

    def test_counts_of_all_spans_are_summed(self, tmp_path: Path) -> None:
        second = {
            "rows": 10,
            "accepted": 6,
            "duplicates": 1,
            "rejected": 2,
            "golden_removed": 1,
            "reasons": {"too_long": 1, "length_ratio": 1},
            "splits": {"train": 5, "eval": 1, "test": 0},
            "sources_also_in_train": {"eval": 1, "test": 0},
            "files": ["data/2.tsv"],
        }
        model_card = self.collect(tmp_path, [SUMMARY, second])
        assert model_card.data == artifacts.Summary(
            rows=140_878,
            accepted=140_866,
            duplicates=6,
            golden_removed=1,
            rejected=5,
            reasons={"length_ratio": 4, "too_long": 1},
            splits={"train": 135_144, "eval": 2855, "test": 2867},
            sources_also_in_train={"eval": 1, "test": 2},
            max_reject_share=0.05,
            files=("data/spa.tsv", "data/2.tsv"),
        )
        text = markdown(model_card)
        assert "Pairs left out because the golden set has their source: 1." in text
        assert "- `data/spa.tsv`\n- `data/2.tsv`\n" in text
        assert "more: see" not in text

    def test_counts_are_empty_if_those_of_one_span_are_missing(self, tmp_path: Path) -> None:
        assert self.collect(tmp_path, [SUMMARY, None, SUMMARY]).data is None

    def test_the_markdown_lists_the_first_files_and_counts_the_others(self, tmp_path: Path) -> None:
        count = 365
        model_card = self.collect(tmp_path, [SUMMARY | {"files": [f"data/{n}.tsv"]} for n in range(count)])
        assert model_card.data is not None
        assert model_card.data.files == tuple(f"data/{n}.tsv" for n in range(count))
        lineage = model_card.lineage["examples"]
        assert isinstance(lineage, tuple)
        assert [origin.artifact for origin in lineage] == [f"Node/examples/{n}" for n in range(count)]
        assert card.Card.decode(card_files(model_card)[ServedVersion.CARD_JSON]) == model_card
        text = markdown(model_card)
        assert text.count(".tsv`") == text.count("`Node/examples/") == text.count("`Node/rejects/") == 5
        assert "- `data/4.tsv`\n- and 360 more: see `model_card.json`\n" in text
        assert "| rejects | and 360 more: see `model_card.json` |  |\n" in text


def test_scores_and_data_with_unknown_fields_are_left_out(collect: Any) -> None:
    """A rollback keeps everything else on the card of the earlier version."""
    model_card = collect(licence="CC0")
    fields = json.loads(model_card.encode())
    other = fields | {"scores": {"bleu": {"score": 40.5}}, "data": {"rows": "many"}}
    decoded = card.Card.decode(json.dumps(other).encode())
    assert decoded == msgspec.structs.replace(model_card, scores=None, data=None)
