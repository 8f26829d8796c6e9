"""The section `augmentation`: its nodes, their parameters, and what changes their cache keys."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from bitext.components.artifacts import PairOrigin
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import config
from bitext.pipeline.augmentation import SHORTEST_TARGET
from bitext.pipeline.config.sections import NODE_FOLDERS
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.sources import Node, Output, Outputs

PLAIN: dict[str, Any] = {"name": "toy", "example_gen": {"files": ["toy.tsv"]}}
FORWARD = ["Transform.forward_teacher", "Trainer.forward_teacher", "BulkInferrer.forward"]
BACKWARD = [
    *("ReverseGen.backward_teacher", "Transform.backward_teacher", "Trainer.backward_teacher"),
    "BulkInferrer.backward",
]


def nodes_of(folder: Path, **sections: Any) -> dict[str, Node]:
    """Returns the nodes of a configuration by name."""
    file = folder / "toy.yaml"
    file.write_text(yaml.safe_dump(PLAIN | sections))
    return {node.name: node for node in create_pipeline(config.load(file)).nodes}


def inputs_of(source: Any) -> list[Output]:
    """Returns the outputs that an input has."""
    return list(source.outputs) if isinstance(source, Outputs) else [source]


class TestNodes:
    def test_without_the_section_nothing_changes(self, tmp_path: Path) -> None:
        plain = nodes_of(tmp_path)
        assert not any(node.purpose for node in plain.values())
        assert plain["Transform"].inputs["examples"] == Output("ExampleGen", "examples")
        assert plain["Transform"].parameters.corpora == ()

    @pytest.mark.parametrize(
        ("directions", "expected"),
        [("forward", FORWARD), ("backward", BACKWARD), ("both", FORWARD + BACKWARD)],
    )
    def test_they_are_before_transform(self, tmp_path: Path, directions: str, expected: list[str]) -> None:
        names = list(nodes_of(tmp_path, augmentation={"directions": directions}))
        start = names.index("ExampleValidator") + 1
        assert names[start : start + len(expected) + 1] == [*expected, "Transform"]
        assert set(names) <= NODE_FOLDERS

    def test_every_input_is_an_earlier_output_of_the_declared_kind(self, tmp_path: Path) -> None:
        kinds: dict[tuple[str, str], type] = {}
        for node in nodes_of(tmp_path, augmentation={}).values():
            assert set(node.component.inputs) - set(node.inputs) <= node.component.optional
            for key, source in node.inputs.items():
                for output in inputs_of(source):
                    if isinstance(output, Output):
                        assert kinds[output.node, output.key] is node.component.inputs[key]
            kinds |= {(node.name, key): kind for key, kind in node.component.outputs.items()}

    def test_only_the_students_transform_reads_synthetic_pairs(self, tmp_path: Path) -> None:
        """Nothing that is evaluated or checked has a synthetic pair."""
        readers = {
            (node.name, key)
            for node in nodes_of(tmp_path, augmentation={}).values()
            for key, source in node.inputs.items()
            if any(getattr(o, "node", "").startswith("BulkInferrer") for o in inputs_of(source))
        }
        assert readers == {("Transform", "examples")}

    def test_teachers_are_neither_evaluated_nor_pushed(self, tmp_path: Path) -> None:
        nodes = nodes_of(tmp_path, augmentation={})
        for name in ("Evaluator", "InfraValidator", "Pusher"):
            assert nodes[name].inputs["model"] == Output("Trainer", "model")

    def test_the_teacher_of_the_opposite_direction_has_its_settings_exchanged(self, tmp_path: Path) -> None:
        nodes = nodes_of(
            tmp_path,
            transform={
                "source_max_length": 2,
                "target_max_length": 50,
                "source_language": "en",
                "shared_vocabulary": False,
                "target_vocabulary_file": "t.model",
            },
            evaluator={"tokenize": "zh"},
            augmentation={"teacher": {"embeddings": {"target": "t.vec"}, "search": {"max_length": 10}}},
        )
        transform = nodes["Transform.backward_teacher"].parameters
        assert (transform.source_max_length, transform.target_max_length) == (50, SHORTEST_TARGET)
        assert (transform.source_language, transform.source_vocabulary_file) == ("", "t.model")
        trainer = nodes["Trainer.backward_teacher"].parameters
        assert (trainer.embeddings.source, trainer.embeddings.target) == ("t.vec", "")
        assert trainer.validation.tokenize == "auto"
        forward = nodes["Trainer.forward_teacher"].parameters
        assert (forward.validation.tokenize, forward.search.max_length) == ("zh", 49)

    def test_tags_of_corpora_are_no_text(self, tmp_path: Path) -> None:
        corpora = [{"name": "law", "files": ["a.tsv"], "tag": "<law>"}, {"name": "web", "files": ["b.tsv"]}]
        nodes = nodes_of(tmp_path, example_gen={"corpora": corpora}, augmentation={"weight": 0.5})
        tags = {"law": "<law>"}
        assert nodes["ReverseGen.backward_teacher"].parameters.tags == tags
        assert nodes["BulkInferrer.backward"].parameters.tags == tags
        uses = {node: nodes[node].parameters.corpora for node in nodes if node.startswith("Transform")}
        assert [use.tag for use in uses["Transform.backward_teacher"]] == ["", ""]
        assert [use.tag for use in uses["Transform.forward_teacher"]] == ["<law>", ""]
        synthetic = uses["Transform"][2:]
        assert [(use.name, use.weight) for use in synthetic] == [
            ("synthetic/forward", 0.5),
            ("synthetic/backward", 0.5),
        ]


MONOLINGUAL = {"source": {"files": ["s.txt"]}, "target": {"files": ["t.txt.gz"], "weight": 2}}


class TestMonolingualFiles:
    def test_back_translation_alone_needs_one_teacher(self, tmp_path: Path) -> None:
        files = {"target": {"files": ["t.txt.gz"], "max_sentences": 9, "encoding": "latin-1"}}
        section = {"directions": "none", "monolingual": files}
        nodes = nodes_of(tmp_path, augmentation=section)
        assert [name for name in nodes if "." in name] == [
            "MonolingualGen.target",
            *BACKWARD[:3],
            "BulkInferrer.monolingual_target",
        ]
        parameters = nodes["MonolingualGen.target"].parameters
        assert (parameters.max_sentences, parameters.encoding) == (9, "latin-1")
        assert nodes["BulkInferrer.monolingual_target"].inputs["examples"] == Output(
            "MonolingualGen.target", "examples"
        )

    def test_only_back_translation_is_tagged(self, tmp_path: Path) -> None:
        nodes = nodes_of(tmp_path, augmentation={"monolingual": MONOLINGUAL, "weight": 0.5})
        uses = {use.name.rpartition("/")[2]: use for use in nodes["Transform"].parameters.corpora}
        assert {name: (use.weight, use.tag) for name, use in uses.items()} == {
            "forward": (0.5, ""),
            "monolingual_source": (1.0, ""),
            "backward": (0.5, ""),
            "monolingual_target": (2.0, "<bt>"),
        }
        for name, use in uses.items():
            assert nodes[f"BulkInferrer.{name}"].parameters.tag == use.tag

    def test_held_out_sentences_are_those_of_the_bitext_and_the_test_sets(self, tmp_path: Path) -> None:
        golden = {"files": ["a.tsv"], "golden": {"files": ["g.tsv"]}}
        nodes = nodes_of(tmp_path, example_gen=golden, augmentation={"monolingual": MONOLINGUAL})
        for node in nodes.values():
            if node.name.startswith(("BulkInferrer", "MonolingualGen")):
                assert node.inputs["golden"] == Output("GoldenGen", "examples")
                key = "held_out" if node.name.startswith("BulkInferrer") else "bitext"
                assert node.inputs[key] == Output("ExampleGen", "examples")


def changed(folder: Path, before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Returns the nodes whose parameters a change of the configuration changes."""
    first, second = nodes_of(folder, **before), nodes_of(folder, **after)
    return {name for name in first if first[name].parameters != second[name].parameters}


class TestCaching:
    def test_a_setting_of_the_student_does_not_train_the_teachers_again(self, tmp_path: Path) -> None:
        augmentation = {"augmentation": {"teacher_steps": 500}}
        student = {"steps": 700, "seed": 2, "model": {"encoder_units": 32}, "label_smoothing": 0.2}
        assert changed(tmp_path, augmentation, augmentation | {"trainer": student}) == {"Trainer"}

    def test_a_setting_of_the_teachers_does(self, tmp_path: Path) -> None:
        before, after = ({"augmentation": {"teacher_steps": steps}} for steps in (500, "auto"))
        assert changed(tmp_path, before, after) == {"Trainer.forward_teacher", "Trainer.backward_teacher"}

    def test_a_setting_of_the_translation_does_not(self, tmp_path: Path) -> None:
        before, after = ({"augmentation": {"beam_size": size}} for size in (None, 2))
        assert changed(tmp_path, before, after) == {"BulkInferrer.forward", "BulkInferrer.backward"}

    def test_a_weight_changes_the_students_transform_alone(self, tmp_path: Path) -> None:
        before, after = ({"augmentation": {"weight": weight}} for weight in (1.0, 0.5))
        assert changed(tmp_path, before, after) == {"Transform"}

    def test_nodes_of_one_component_have_different_folders(self, tmp_path: Path) -> None:
        names = list(nodes_of(tmp_path, augmentation={}))
        assert all(a != b for a, b in itertools.combinations(names, 2))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"teacher": {"warm_start": {"model": "last_blessed"}}}, "teachers are trained from scratch"),
        ({"teacher": {"distribute": {"workers": 2}}}, "teacher.distribute.workers must be 1"),
        ({"teacher_steps": 200}, "warmup_steps must be below teacher_steps. Received: 200 and 200"),
        ({"directions": "none"}, "there is nothing to translate"),
        ({"monolingual": {"target": {"max_sentences": 5}}}, "files names no file"),
        ({"monolingual": {"target": {"files": ["t.txt"], "encoding": "utf-9"}}}, "utf-9"),
        ({"monolingual": {"tag": "bt"}}, "in angle brackets"),
        ({"beam_size": 101}, "beam_size must not be above teacher.serving_limits.beam_size"),
        ({"directions": "sideways"}, "directions: must be both or forward or backward"),
    ],
)
def test_refused_values(tmp_path: Path, section: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        nodes_of(tmp_path, augmentation=section)
    assert "toy.yaml" in str(caught.value)


def test_the_teachers_tokenize_anew_only_what_transform_writes_once(tmp_path: Path) -> None:
    transform = {"subword_samples": 2, "subword_dropout": 0.1}
    with pytest.raises(ConfigError, match="augmentation.teacher.subword_dropout tokenizes each pair again"):
        nodes_of(tmp_path, transform=transform, augmentation={"teacher": {"subword_dropout": 0.1}})


def test_origins_name_their_corpora_and_sides() -> None:
    assert {origin.corpus for origin in PairOrigin} == {f"synthetic/{origin}" for origin in PairOrigin}
    assert {origin.given_side for origin in PairOrigin} == {"source", "target"}
    assert msgspec.json.encode(PairOrigin.FORWARD) == b'"forward"'
