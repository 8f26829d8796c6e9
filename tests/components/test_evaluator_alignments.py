"""The attention of the translations, as the Evaluator writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.evaluator import Parameters, executor
from bitext.components.shared.files import write_json
from tests import toy_model
from tests.components.small_export import Export

LINES = ("the cat sat", "a mat", "", "seven songs on the mat, he said")


def evaluated(export: Export, folder: Path, **changes: object) -> artifacts.ModelEvaluation:
    """Returns the evaluation of a model on `LINES`."""
    model = artifacts.Model(folder / "model")
    model.path.mkdir()
    model.serving.symlink_to(export.path)
    model.vocabulary_file.parent.mkdir()
    translator = export.translator
    vocabulary = artifacts.Vocabulary(translator.source.pieces(), translator.target.pieces())
    write_json(model.vocabulary_file, vocabulary)
    rows = [(f"a:{n}", line, line or "x") for n, line in enumerate(LINES)]
    toy_model.write_examples(folder / "examples", "test", rows)
    evaluation = artifacts.ModelEvaluation(folder / "evaluation")
    blessing = artifacts.ModelBlessing(folder / "blessing")
    for artifact in (evaluation, blessing):
        artifact.path.mkdir()
    executor.run(
        Parameters(bootstrap_samples=100, beat_trivial_baselines=False, **changes),  # type: ignore
        Context(folder, folder, lambda: None, lambda line: None),
        examples=[artifacts.Examples(folder / "examples")],
        model=model,
        evaluation=evaluation,
        blessing=blessing,
    )
    return evaluation


def check(export: Export, evaluation: artifacts.ModelEvaluation) -> None:
    """Asserts that pieces and weights belong to the translations."""
    aligned, translator = evaluation.alignments(), export.translator
    for row in evaluation.translations():
        if not row.source:
            assert row.id not in aligned, "a blank source has no alignment"
            continue
        alignment = aligned[row.id]
        [ids] = translator.source_tokens(tf.constant([row.source])).numpy().tolist()
        assert alignment.source == [translator.source.pieces()[token] for token in ids]
        assert alignment.source[-1] == "</s>"
        weights = np.array(alignment.weights)
        assert weights.shape == (len(alignment.target), len(alignment.source))
        assert (abs(weights.sum(1) - 100) <= len(alignment.source) / 2).all()
        ids = [translator.target.pieces().index(piece) for piece in alignment.target]
        [text] = translator.target.detokenize(tf.constant([ids], tf.int32)).numpy()
        assert text.decode() == row.hypothesis


def test_they_are_pieces_and_percentages(export: Export, tmp_path: Path) -> None:
    check(export, evaluated(export, tmp_path))


def test_another_beam_size_has_them_too(export: Export, tmp_path: Path) -> None:
    check(export, evaluated(export, tmp_path, beam_size=2, batch_size=2))


def test_a_model_without_attention_has_none(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    evaluation = evaluated(Export(tmp_path / "export", attention="none"), tmp_path)
    assert len(evaluation.translations()) == len(LINES)
    assert evaluation.alignments() == {}
    assert not evaluation.alignments_file().exists()
