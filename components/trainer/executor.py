"""What Trainer does: opens the data, builds the model, trains it, exports it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np
import sacrebleu
import tensorflow as tf

from bitext.components import artifacts, text
from bitext.components.component import Context
from bitext.components.seq2seq.export import checkpoint, warm_up
from bitext.components.seq2seq.export.saved_model import TEXT, Translator
from bitext.components.seq2seq.model import Seq2Seq, lengths
from bitext.components.shared.files import path_without_globs
from bitext.components.shared.heldout import Sentence, read_sentences
from bitext.components.shared.metrics.sacrebleu_metrics import reference_streams
from bitext.components.shared.parallel import side_by_side
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import Batches
from bitext.components.trainer.training import Training
from bitext.components.trainer.warm_start import start, warm_start

VALIDATION_BATCH = 100


def run(
    parameters: Parameters,
    context: Context,
    *,
    transformed_examples: artifacts.Examples,
    transform_graph: artifacts.TransformGraph,
    examples: Sequence[artifacts.Examples],
    base_model: artifacts.Model | None = None,
    model: artifacts.Model,
    model_run: artifacts.ModelRun,
) -> None:
    """Trains and exports.

    Args:
      examples: of each span, for their eval splits.
      base_model: the model now served; used where `warm_start` is `last_blessed`.

    Raises:
      DataError: a split is empty or damaged, or the model to begin with cannot be read or is of another
        architecture.
      TrainingError: the loss is not finite.
    """
    # A run repeated on the same machine gives the same weights.
    tf.config.experimental.enable_op_determinism()
    begun = start(parameters, base_model)
    parameters = begun.parameters
    # The initial weights and the order of the batches follow from it.
    keras.utils.set_random_seed(parameters.seed)
    if begun.why:
        context.say(f"training from scratch: {begun.why}")
    batches = Batches.open(transformed_examples.split("train"), parameters.batch_tokens, parameters.seed)
    pair = text.load(transform_graph.path)
    network = Seq2Seq(parameters.model, pair.source.size(), pair.target.size(), pair.shared)
    if begun.folder is not None:
        for line in warm_start(network, pair, begun.folder):
            context.say(line)
    translator = Translator(network, pair, parameters.search)
    by_line = parameters.validation_references == "by_line"
    splits = [span.split("eval") for span in examples]
    held_out = read_sentences(splits, parameters.validation_sentences, by_line=by_line)
    weights = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    context.say(
        f"{weights:,} weights, vocabulary {pair.target.size():,}, {batches.per_epoch:,} batches an epoch"
    )
    for line in warnings(parameters, gpu=bool(tf.config.list_physical_devices("GPU"))):
        context.say(f"warning: {line}")
    validate = validation(translator, held_out, parameters)
    with precision(parameters.precision), path_without_globs(context.working_dir) as working_dir:
        training_context = dataclasses.replace(context, working_dir=working_dir)
        Training(network, parameters, batches, validate, training_context).run()
    shutil.copy(context.working_dir / "history.jsonl", model_run.path / "history.jsonl")
    shutil.copytree(context.working_dir / "logs", model_run.path / "logs")
    _publish(parameters, network, translator, held_out, model.path)
    history = (model_run.path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    best = max(json.loads(line)["bleu"] for line in history)
    software = {"python": platform.python_version(), "tensorflow": tf.__version__}
    model.properties.update(validation_bleu=best, weights=weights, warm_starts=begun.warm_starts, **software)
    if begun.digest is not None:
        model.properties["warm_started_from"] = begun.digest


def warnings(parameters: Parameters, gpu: bool) -> list[str]:
    """What a person may not expect of the settings, on a machine with a GPU or without."""
    lines = []
    if parameters.model.recurrent_dropout:
        lines.append("recurrent_dropout rules out cuDNN's kernel, should this model move to it")
    if parameters.precision == "bfloat16" and gpu:
        lines.append("precision bfloat16 is oneDNN's, for a CPU: the GPU goes on in float32")
    if parameters.towers > 1 and gpu:
        lines.append(f"towers {parameters.towers} is for a CPU: a GPU is faster with whole batches, towers 1")
    return lines


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Within it, TensorFlow may do products in this precision; what is exported afterwards does not."""
    option = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    tf.config.optimizer.set_experimental_options({option: name == "bfloat16"})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})


def validation(
    translator: Translator, held_out: list[Sentence], parameters: Parameters
) -> Callable[[], float]:
    """A function that gives the BLEU of the model as it then is on the held-out sentences."""
    beam = parameters.validation_beam
    alpha = translator.search.length_penalty if beam > 1 else 0.0
    text = tf.constant([s.source for s in held_out])
    length = lengths(translator.source_tokens(text)).numpy()
    streams = reference_streams([s.references for s in held_out])
    order = np.argsort(length, kind="stable")
    pieces = [order[i : i + VALIDATION_BATCH] for i in range(0, len(order), VALIDATION_BATCH)]
    scorer = sacrebleu.BLEU(
        lowercase=bool(parameters.validation_lowercase),
        tokenize=parameters.validation_tokenize or "13a",
        force=True,
    )

    @tf.function(input_signature=[TEXT])
    def best(text: tf.Tensor) -> tf.Tensor:
        start = translator.start(text)
        found = translator.decode(start, beam, alpha, translator.search.max_length, nbest=1)
        return translator.texts(text, found)[:, 0]

    def bleu() -> float:
        hypotheses = np.empty(len(order), object)
        found = side_by_side(lambda piece: best(tf.gather(text, piece)).numpy(), pieces)
        for piece, translations in zip(pieces, found, strict=True):
            hypotheses[piece] = [t.decode() for t in translations]
        return float(scorer.corpus_score(list(hypotheses), streams).score)

    return bleu


def _publish(
    parameters: Parameters,
    network: Seq2Seq,
    translator: Translator,
    held_out: list[Sentence],
    folder: Path,
) -> None:
    """Writes the model artifact: the SavedModel with its warm-up requests, the weights by name, and the
    trainer's own translations.
    """
    sources = [s.source for s in held_out[: parameters.samples]]
    found = translator.translate(tf.constant(sources))
    samples = [
        {"source": source, "translation": translation.decode(), "score": float(score)}
        for source, translation, score in zip(
            sources, found["text"].numpy(), found["score"].numpy(), strict=True
        )
    ]
    listed = json.dumps(samples, ensure_ascii=False, indent=1)
    (folder / "samples.json").write_text(listed, encoding="utf-8")
    (folder / "model.json").write_bytes(msgspec.json.format(msgspec.json.encode(parameters), indent=1))
    checkpoint.save(network, translator.source, translator.target, folder)
    translator.save(folder / "Format-Serving")
    warm_up.write(translator, sources, folder / "Format-Serving")
