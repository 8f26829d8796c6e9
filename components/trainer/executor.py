"""The Trainer's work: opens the data, builds the model, trains it, exports it."""

from __future__ import annotations

import dataclasses
import platform
import statistics
from collections.abc import Callable, Sequence

import keras
import msgspec
import numpy as np
import tensorflow as tf

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.seq2seq import length_bound
from bitext.components.seq2seq.export import checkpoint, warm_up
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import Seq2Seq, count_tokens
from bitext.components.shared.corpus_size import AUTO
from bitext.components.shared.files import path_without_globs
from bitext.components.shared.heldout import Sentence, read_sentences
from bitext.components.text.processor import TextPair, load_text_pair
from bitext.components.trainer import Parameters, agreement, embeddings
from bitext.components.trainer.attention import attention_function
from bitext.components.trainer.data import Batches
from bitext.components.trainer.distribution import Distribution, over_devices
from bitext.components.trainer.fitting import DataSize, data_warnings, with_steps
from bitext.components.trainer.precision import matmul_precision, with_precision
from bitext.components.trainer.recording import Watched
from bitext.components.trainer.segmentation import Segmenter
from bitext.components.trainer.selection import select, with_penalty
from bitext.components.trainer.training import Training
from bitext.components.trainer.validation import ValidationScores, validation_function
from bitext.components.trainer.warm_start import Start, choose_start, load_weights


def run(
    parameters: Parameters,
    context: Context,
    *,
    transformed_examples: artifacts.TransformedExamples,
    transform_graph: artifacts.TransformGraph,
    examples: Sequence[artifacts.Examples],
    base_model: artifacts.Model | None = None,
    model: artifacts.Model,
    model_run: artifacts.ModelRun,
    connect: Callable[[Parameters], Distribution] = lambda p: over_devices(p.distribute.devices),
) -> None:
    """Trains a model and exports it.

    Args:
      parameters: the configured parameters.
      context: the resources of the run.
      transformed_examples: the training examples.
      transform_graph: the vocabularies.
      examples: the examples of each span; validations translate their eval splits.
      base_model: the model now served, used if `warm_start.model` is `last_blessed`.
      model: the output for the exported model.
      model_run: the output for the record of the training.
      connect: returns the processes and devices that train together. Called before TensorFlow computes.

    Raises:
      DataError: a split is empty or damaged; the weights to start from cannot be read or belong to another
        architecture; or the checkpoint of an interrupted training is damaged.
      TrainingError: the loss is not finite, or far above that of chance.
    """
    batches = Batches.open(transformed_examples, parameters.batch_tokens, parameters.seed)
    size = DataSize.of(transformed_examples, batches)
    start = _choose_start(parameters, size, base_model, context)
    parameters = start.parameters
    distribution = connect(parameters)
    _make_deterministic(parameters.seed)
    agreement.compare(distribution, parameters, transformed_examples)
    pair = load_text_pair(transform_graph.path)
    batches = dataclasses.replace(
        batches,
        seed=parameters.seed,
        workers=distribution.workers,
        segmenter=Segmenter.of(pair, parameters, batches.buckets),
    )
    network, frozen = _build(start, pair, context)
    translator = Translator(network, pair, with_penalty(parameters).search, parameters.serving_limits)
    held_out = _read_validation_sentences(parameters, examples)
    warnings = data_warnings(parameters, size) + search_warnings(translator, held_out)
    _print_sizes_and_warnings(network, batches, parameters, context, warnings)
    validate = validation_function(translator, held_out, parameters, context.say)
    watched = Watched(held_out, attention_function(translator), start.warm_starts)
    with matmul_precision(parameters.precision), path_without_globs(context.working_dir) as working_dir:
        training_context = dataclasses.replace(context, working_dir=working_dir)
        _train(network, frozen, parameters, batches, validate, training_context, watched, distribution)
    training = artifacts.ModelRun(context.working_dir)
    search, selection = select(network, pair, parameters, batches, held_out, training, context.say)
    _publish_record(training, selection, model_run)
    _publish(msgspec.structs.replace(parameters, search=search), network, pair, held_out, model)
    _set_properties(model, model_run, network, start)


def _train(
    network: Seq2Seq,
    frozen: dict[str, np.ndarray],
    parameters: Parameters,
    batches: Batches,
    validate: Callable[[], ValidationScores],
    context: Context,
    watched: Watched,
    distribution: Distribution,
) -> None:
    """Trains the network, alone or together with other processes and devices.

    Several of them train another network, which has copies of its variables on each device. Validation and
    export use the network itself, so that no exported graph has a distributed variable.
    """
    if distribution.strategy is None:
        Training(network, parameters, batches, validate, context, watched, frozen=frozen).run()
        return
    trained = agreement.network_of_chief(distribution, parameters, network)
    frozen = agreement.frozen_rows_of_chief(distribution, parameters, trained, frozen)

    def validate_copy() -> ValidationScores:
        network.take_weights(trained)
        return validate()

    Training(
        trained,
        parameters,
        batches,
        validate_copy,
        context,
        watched,
        frozen=frozen,
        distribution=distribution,
    ).run()
    network.take_weights(trained)


def _make_deterministic(seed: int) -> None:
    """Makes the same data and parameters give the same weights on the same machine."""
    tf.config.experimental.enable_op_determinism()
    # The initial weights and the order of the batches depend on this seed.
    keras.utils.set_random_seed(seed)


def _choose_start(
    parameters: Parameters, size: DataSize, base_model: artifacts.Model | None, context: Context
) -> Start:
    """Returns the base model and the parameters in effect. Prints what decided about them."""
    start = choose_start(with_precision(with_steps(parameters, size)), base_model)
    if start.from_scratch_reason:
        context.say(f"training from scratch: {start.from_scratch_reason}")
    if parameters.steps == AUTO and not (start.model and parameters.warm_start.steps):
        context.say(f"steps auto: {start.parameters.step_count:,} for {size.pairs:,} training pairs")
    if parameters.precision == AUTO:
        context.say(f"precision auto: {start.parameters.precision}")
    return start


def _build(start: Start, pair: TextPair, context: Context) -> tuple[Seq2Seq, dict[str, np.ndarray]]:
    """Returns the network with its initial weights, and which rows of its variables are frozen.

    The weights are random, those of the model the training starts from, or pretrained vectors.
    """
    network = Seq2Seq(start.parameters.model, pair.source.size(), pair.target.size(), pair.shared)
    if start.model is not None:
        for line in load_weights(network, pair, start.model):
            context.say(line)
    started = embeddings.start(network, pair, start.parameters, start.model)
    for line in started.lines:
        context.say(line)
    return network, started.frozen


def _read_validation_sentences(
    parameters: Parameters, examples: Sequence[artifacts.Examples]
) -> list[Sentence]:
    by_line = parameters.validation.references == "by_line"
    splits = [span.split("eval") for span in examples]
    return read_sentences(splits, parameters.validation.sentences, by_line=by_line)


def _print_sizes_and_warnings(
    network: Seq2Seq, batches: Batches, parameters: Parameters, context: Context, warnings: Sequence[str]
) -> None:
    context.say(
        f"{_weight_count(network):,} weights, vocabulary {network.target_size:,}, "
        f"{batches.per_epoch:,} batches an epoch"
    )
    gpu = bool(tf.config.list_physical_devices("GPU"))
    for line in (*setting_warnings(parameters, gpu=gpu), *warnings):
        context.say(f"warning: {line}")


def _weight_count(network: Seq2Seq) -> int:
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def setting_warnings(parameters: Parameters, gpu: bool) -> list[str]:
    """Returns a warning for each setting that is slow or has no effect on this machine."""
    lines = []
    if parameters.model.recurrent_dropout:
        lines.append("recurrent_dropout: cuDNN's kernels do not support it")
    if parameters.precision == "bfloat16" and gpu:
        lines.append("precision bfloat16 has an effect on a CPU only (oneDNN); the GPU computes in float32")
    if parameters.replicas > 1 and gpu:
        lines.append(
            f"replicas {parameters.replicas} is for a CPU; a GPU is faster with whole batches: replicas 1"
        )
    return lines


def search_warnings(translator: Translator, held_out: Sequence[Sentence]) -> list[str]:
    """Returns a warning if `search.max_length_factor` is too small for the languages of the corpus.

    A character of one script is a word of another, so the usual factor depends on the pair of languages.
    """
    factor = translator.search.max_length_factor
    if not factor:
        return []
    source_tokens = count_tokens(translator.source_tokens(tf.constant([s.source for s in held_out]))).numpy()
    targets = translator.target_tokens(tf.constant([s.references[0] for s in held_out]))
    target_tokens = count_tokens(targets[:, 1:]).numpy()
    longer = int(np.sum(target_tokens > length_bound(factor, source_tokens)))
    if not longer:
        return []
    return [
        f"search.max_length_factor {factor}: {longer:,} of {len(held_out):,} references of the eval split "
        "are longer than it allows, so such translations will be cut; raise it, or set 0"
    ]


def _set_properties(
    model: artifacts.Model, model_run: artifacts.ModelRun, network: Seq2Seq, start: Start
) -> None:
    """Sets the properties of the Model artifact."""
    model.properties.update(
        validation_bleu=model_run.selection().bleu,
        tokens_per_second=statistics.fmean(record.tokens_per_second for record in model_run.progress()),
        weights=_weight_count(network),
        warm_starts=start.warm_starts,
        python=platform.python_version(),
        tensorflow=tf.__version__,
    )
    if start.digest is not None:
        model.properties["warm_started_from"] = start.digest


def _publish_record(
    training: artifacts.ModelRun, selection: artifacts.Selection, model_run: artifacts.ModelRun
) -> None:
    """Writes the ModelRun artifact. The log for TensorBoard stays where it is."""
    training.write_selection(selection)
    training.copy_records_to(model_run)
    if training.log_name:
        model_run.properties[model_run.LOG_PROPERTY] = training.log_name


def _publish(
    parameters: Parameters,
    network: Seq2Seq,
    pair: TextPair,
    held_out: list[Sentence],
    model: artifacts.Model,
) -> None:
    """Writes the Model artifact: the SavedModel with its warm-up requests, the checkpoint, and translations
    of some validation sentences.
    """
    translator = Translator(network, pair, parameters.search, parameters.serving_limits)
    sources = translator.fitting([s.source for s in held_out])[: parameters.samples]
    outputs = translator.translate(tf.constant(sources))
    samples = [
        artifacts.Sample(source, translation.decode(), float(score))
        for source, translation, score in zip(
            sources, outputs["text"].numpy(), outputs["score"].numpy(), strict=True
        )
    ]
    model.write_samples(samples)
    model.write_trainer_parameters(parameters)
    checkpoint.save(network, translator.source, translator.target, model.path)
    translator.save(model.serving)
    warm_up.write(translator, sources, model.serving)
