"""`bitext export`: the model now served in another form, if that loses no quality.

Both forms translate the held-out split here and now. One that is significantly worse is refused, and nothing
is written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import tensorflow as tf

from bitext.components import text
from bitext.components.artifacts import TEST_SPLIT, Examples, Model, TransformGraph
from bitext.components.seq2seq import SearchSettings, length_bound
from bitext.components.seq2seq.export import checkpoint, lite, quantize
from bitext.components.seq2seq.export.quantize import Precision
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault, NotBlessedError
from bitext.components.shared.files import tree_size, write_json
from bitext.components.shared.heldout import Sentence, read_sentences
from bitext.components.shared.metrics import Bleu
from bitext.components.translation.held_out import EvaluationOptions, evaluated_search, translate_sentences
from bitext.components.translation.translate import LineTranslator, Search
from bitext.pipeline import resolve
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists

Form = Literal["saved_model", "tflite"]
LITE_FILE = "translator.tflite"
REPORT = "export.json"


@dataclasses.dataclass(frozen=True)
class Trained:
    """The model now served, with what it was trained with and is scored on."""

    model: Model
    digest: str
    transform_graph: TransformGraph
    examples: list[Examples]


class _TrainerParameters(msgspec.Struct, frozen=True):
    """The part of the Trainer's parameters that an export needs."""

    search: SearchSettings


class Report(msgspec.Struct, frozen=True):
    """What was written, and what it costs: the content of `export.json`.

    Attributes:
      model: the original's artifact, and `digest` its digest.
      form, quantize: what it was made.
      bytes, original_bytes: sizes of the files of either.
      bleu, original_bleu: on the same `sentences`, translated by both in this run: by the search that is the
        model's default, or greedily where the form has no search of its own.
      bleu_signature: sacreBLEU's.
      difference, p_value: `bleu` less `original_bleu`, and paired bootstrap's p-value (two-sided).
    """

    model: str
    digest: str
    form: Form
    quantize: Precision | None
    bytes: int
    original_bytes: int
    sentences: int
    bleu: float
    original_bleu: float
    bleu_signature: str
    difference: float
    p_value: float


def export(config: PipelineConfig, output: Path, form: Form, precision: Precision | None) -> Report:
    """Writes the model now served to the folder `output`, complete or not at all.

    Args:
      config: of the pipeline that made it.
      output: a folder that does not exist yet.
      form: `saved_model`, with all signatures, or `tflite`, whose folder holds the vocabulary's files beside
        the model.
      precision: of the stored matrices; None: float32.

    Raises:
      ConfigError: the output exists, or nothing would differ from the model as it is.
      DataError: no model was blessed, or what it was made from is gone.
      NotBlessedError: this form translates significantly worse.
      EnvironmentFault: the output cannot be written.
    """
    if output.exists():
        raise ConfigError(f"{output} exists already", "name a folder that does not, with --output")
    trained = now_served(config)
    with _staging(output) as staging:
        with _writing(output):
            _write(trained, staging, form, precision)
        report = _measure(trained, staging, form, precision, config.evaluator)
        if report.difference < 0 and report.p_value < config.evaluator.significance:
            raise NotBlessedError(
                f"{form} with {precision or 'float32'} weights is significantly worse: BLEU "
                f"{report.bleu:.2f} against {report.original_bleu:.2f} (p = {report.p_value:.3f}); nothing "
                "was written",
                "take another precision with --quantize",
            )
        folder = staging / "assets.extra" if form == "saved_model" else staging
        with _writing(output):
            folder.mkdir(exist_ok=True)
            write_json(folder / REPORT, report)
            staging.rename(output)
    return report


def render(report: Report, output: Path) -> str:
    """The report for a person."""
    return (
        f"{output}: {report.form} with {report.quantize or 'float32'} weights, "
        f"{report.bytes / 1e6:.1f} MB of {report.original_bytes / 1e6:.1f} MB\n"
        f"BLEU {report.bleu:.2f} against {report.original_bleu:.2f} of the original "
        f"({report.difference:+.2f}, p = {report.p_value:.3f}) on {report.sentences:,} sentences\n"
        f"{report.bleu_signature}"
    )


def now_served(config: PipelineConfig) -> Trained:
    """The model now served, or where none was pushed, that blessed last.

    Raises:
      DataError: there is none, or its inputs are gone.
    """
    remedy = "run the pipeline first: bitext run"
    root = Path(config.root)
    if not store_exists(config.metadata, root):
        raise DataError(f"the pipeline {config.name} has not run in {root}", remedy)
    executions = Store(config.metadata, root, config.name).executions()
    found = resolve.served_model(executions, config.serving)
    if not found:
        raise DataError(f"no model of the pipeline {config.name} in {root} was blessed", remedy)
    [model] = found
    for execution in executions:
        if execution.inputs and any(output.digest == model.digest for output in execution.all_outputs()):
            inputs = {k: [Path(a.uri) for a in execution.inputs[k]] for k in ("transform_graph", "examples")}
            for path in itertools.chain.from_iterable(inputs.values()):
                if not path.is_dir():
                    raise DataError(f"{path}, which {model.uri} was trained with, is gone", remedy)
            [graph] = map(TransformGraph, inputs["transform_graph"])
            examples = [Examples(path) for path in inputs["examples"]]
            return Trained(Model(Path(model.uri)), model.digest, graph, examples)
    raise DataError(f"there is no record of the training of {model.uri}", remedy)


def restore(trained: Trained) -> Translator:
    """The model as the trainer had it.

    Raises:
      DataError: a file of it is missing or damaged.
    """
    pair = text.load(trained.transform_graph.path)
    search = trained.model.trainer_parameters(_TrainerParameters).search
    return Translator(checkpoint.restore(trained.model.path, pair), pair, search)


def _write(trained: Trained, folder: Path, form: Form, precision: Precision | None) -> None:
    if form == "tflite":
        (folder / LITE_FILE).write_bytes(lite.convert(restore(trained), precision))
        trained.transform_graph.copy_text(folder)
        return
    serving = trained.model.serving
    if precision is None:
        raise ConfigError(
            f"nothing to make smaller: {serving} is the model now served as it is",
            "copy that folder, or name --quantize or --format tflite",
        )
    quantize.save(restore(trained), precision, folder)
    extra = serving / "assets.extra"
    if extra.is_dir():
        shutil.copytree(extra, folder / "assets.extra")


def _measure(
    trained: Trained,
    folder: Path,
    form: Form,
    precision: Precision | None,
    options: EvaluationOptions,
) -> Report:
    """Both forms on the held-out split, as the Evaluator scores it."""
    by_line = options.references == "by_line"
    splits = [examples.split(TEST_SPLIT) for examples in trained.examples]
    sentences = read_sentences(splits, options.max_sentences, by_line=by_line)
    greedy = Search(beam_size=1, length_penalty=0.0, max_length=options.max_length)
    search = greedy if form == "tflite" else evaluated_search(options)
    serving = trained.model.serving
    original = LineTranslator(serving, search, options.batch_size)
    if form == "tflite":
        found = _greedy(original, folder / LITE_FILE, sentences)
    else:
        found = _translations(LineTranslator(folder, search, options.batch_size), sentences)
    bleu = Bleu([s.references for s in sentences], options)
    statistics = bleu.statistics(found)
    score = bleu.score(statistics)
    compared = bleu.compare(statistics, bleu.statistics(_translations(original, sentences)))
    return Report(
        model=str(trained.model.path),
        digest=trained.digest,
        form=form,
        quantize=precision,
        bytes=tree_size(folder),
        original_bytes=tree_size(serving),
        sentences=len(sentences),
        bleu=score.score,
        original_bleu=compared.score,
        bleu_signature=score.signature,
        difference=compared.difference,
        p_value=compared.p_value,
    )


def _translations(translator: LineTranslator, sentences: list[Sentence]) -> list[str]:
    return [translation.text for translation in translate_sentences(translator, sentences)]


def _greedy(original: LineTranslator, path: Path, sentences: list[Sentence]) -> list[str]:
    """What TensorFlow Lite's interpreter makes of them; the original tokenizes and detokenizes."""
    model = lite.LiteModel(path.read_bytes())
    longest = original.search.max_length or int(original.signature("default_search")()["max_length"])
    tokenized = original.signature("tokenize")(text=tf.constant([s.source for s in sentences]))
    tokens, lengths = tokenized["tokens"].numpy(), tokenized["length"].numpy()
    factor = int(original.signature("info")().get("max_length_factor", 0))  # older exports have none
    found = [
        model.greedy(row[:length], min(longest, length_bound(factor, length)) if factor else longest)
        for row, length in zip(tokens, lengths, strict=True)
    ]
    texts = original.signature("detokenize")(tokens=tf.ragged.constant(found, tf.int32).to_tensor())
    return [text.decode() for text in texts["text"].numpy()]


@contextlib.contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """A folder beside the output, gone at the end unless it became the output."""
    staging = output.with_name(f".{output.name}.partial")
    try:
        with _writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[None]:
    """What the system refuses here is told as a fault of the output."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write {output}: {error.strerror}", "free space, or name another folder with --output"
        ) from error
