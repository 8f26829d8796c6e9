"""Exports a model in another form, if the translations do not become significantly worse.

The model and its new form translate the test split in the same run. A form that is significantly worse is
refused, and nothing is written.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import tensorflow as tf

from bitext.components.artifacts import TEST_SPLIT, warm_up_file
from bitext.components.exporter.comparison import TokenComparison, compare
from bitext.components.exporter.forms import (
    LITE_FILE,
    Form,
    TrainedModel,
    check_form,
    exact_model,
    settings_of,
    write_form,
)
from bitext.components.exporter.token_formats import TOKEN_FORMATS
from bitext.components.seq2seq import length_bound
from bitext.components.seq2seq.export import lite
from bitext.components.seq2seq.export.quantize import Precision
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.files import tree_size, write_json
from bitext.components.shared.heldout import Sentence, read_sentences
from bitext.components.shared.metrics import METRICS, Bleu
from bitext.components.translation.detokenize import detokenize
from bitext.components.translation.graph_check import check_graph
from bitext.components.translation.held_out import EvaluationOptions, evaluated_search, translate_sentences
from bitext.components.translation.output import FOLDER_REMEDY, new_folder
from bitext.components.translation.search import Search
from bitext.components.translation.translator import LineTranslator

REPORT_FILE = "export.json"


class ScorePair(msgspec.Struct, frozen=True):
    """The scores of the form and of the original on the same sentences, with sacreBLEU's signature."""

    score: float
    original: float
    signature: str


class Report(msgspec.Struct, frozen=True):
    """The size and quality of an exported form: the content of `export.json`.

    Attributes:
      model: folder of the original's artifact.
      digest: the original's digest.
      form: format of the files.
      quantize: type of the stored weights; None: float32.
      bytes: size of the form's files.
      original_bytes: size of the original's files.
      sentences: number of test sentences that both translated.
      bleu: BLEU of the form with the Evaluator's search; with greedy search unless the form is a SavedModel.
      original_bleu: BLEU of the original with the same search.
      bleu_signature: sacreBLEU's signature.
      difference: `bleu` minus `original_bleu`.
      p_value: two-sided p-value of the difference, by paired bootstrap.
      scores: the scores of each metric, by its name.
      tokens: how the form differs token by token from the original, with the same rounded weights if it has
        rounded ones; None: not compared.
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
    scores: dict[str, ScorePair]
    tokens: TokenComparison | None = None

    def is_refused(self, significance: float) -> bool:
        """Whether the form is not written: it computes something else than the original, or is worse.

        Of a form that was compared token by token, BLEU can only differ by ties.
        """
        return self.is_worse(significance) if self.tokens is None else not self.tokens.is_equal

    def is_worse(self, significance: float) -> bool:
        """Whether the form translates significantly worse."""
        return self.difference < 0 and self.p_value < significance

    @property
    def name(self) -> str:
        """Name of the form in messages."""
        return f"{self.form} with {self.quantize or 'float32'} weights"


def export(
    trained: TrainedModel,
    output: Path,
    form: Form,
    precision: Precision | None,
    options: EvaluationOptions,
    significance: float,
    *,
    trusted: bool = False,
) -> Report:
    """Writes a model in another form to a new folder, completely or not at all.

    Nothing is written if the form is refused (`Report.is_refused`).

    Args:
      trained: the model.
      output: a folder that does not exist.
      form: format of the files.
      precision: type of the stored weights; None: float32.
      options: how the form and the original translate and are scored.
      significance: the p-value below which a loss of BLEU is significant.
      trusted: as for `LineTranslator`.

    Raises:
      ConfigError: the output exists, or `check_form` refuses the form.
      DataError: a file of the model, or of the examples, is missing or damaged, or the model is not trusted.
      EnvironmentFault: the output cannot be written.
    """
    check_form(form, precision)
    if not trusted:
        check_graph(trained.model.serving)
    with new_folder(output) as new:
        folder = new.path
        with reporting_faults(output, FOLDER_REMEDY):
            write_form(trained, folder, form, precision)
        report = _measure(trained, folder, form, precision, options)
        if report.is_refused(significance):
            return report
        report_folder = warm_up_file(folder).parent if form == "saved_model" else folder
        with reporting_faults(output, FOLDER_REMEDY):
            report_folder.mkdir(exist_ok=True)
            write_json(report_folder / REPORT_FILE, report)
        new.commit()
    return report


def render(report: Report, output: Path) -> str:
    """Returns the report as text."""
    lines = [
        f"{output}: {report.name}, {report.bytes / 1e6:.1f} MB of {report.original_bytes / 1e6:.1f} MB",
        f"BLEU {report.bleu:.2f} against {report.original_bleu:.2f} of the original "
        f"({report.difference:+.2f}, p = {report.p_value:.3f}) on {report.sentences:,} sentences",
    ]
    for metric in METRICS:
        if metric is not Bleu:
            pair = report.scores[metric.name]
            lines.append(f"{metric.label} {pair.score:.2f} against {pair.original:.2f} of the original")
    if report.tokens is not None:
        against = "" if report.quantize is None else "; both with the rounded weights"
        lines.insert(1, f"{report.tokens}{against}")
    return "\n".join([*lines, report.bleu_signature])


def _measure(
    trained: TrainedModel, folder: Path, form: Form, precision: Precision | None, options: EvaluationOptions
) -> Report:
    """Scores a form and the original on the test split, as the Evaluator scores models."""
    by_line = options.references == "by_line"
    splits = [examples.split(TEST_SPLIT) for examples in trained.examples]
    sentences = read_sentences(splits, options.max_sentences, by_line=by_line)
    greedy = Search(beam_size=1, length_penalty=0.0, max_length=options.max_length)
    search = evaluated_search(options) if form == "saved_model" else greedy
    serving = trained.model.serving
    original = LineTranslator(serving, search, options.batch_size, trusted=True)  # checked at the start
    tokens = None
    if form in TOKEN_FORMATS:
        run, min_length = TOKEN_FORMATS[form].load(folder), settings_of(trained).search.min_length
        with exact_model(trained, form, precision) as path:
            exact = original if precision is None else LineTranslator(path, search, trusted=True)
            compared = compare(exact, run, [s.source for s in sentences], min_length, _max_length(original))
        tokens, translations = compared.comparison, compared.translations
        originals = compared.original if precision is None else _translate(original, sentences)
    elif form == "tflite":
        translations = _translate_greedily(original, folder / LITE_FILE, sentences)
        originals = _translate(original, sentences)
    else:
        translations = _translate(LineTranslator(folder, search, options.batch_size, trusted=True), sentences)
        originals = _translate(original, sentences)
    references = [s.references for s in sentences]
    scores = {}
    for metric_class in METRICS:
        metric = metric_class(references, options)
        score, original_score = (
            metric.corpus_score(metric.statistics(texts).sum(axis=0)) for texts in (translations, originals)
        )
        scores[metric_class.name] = ScorePair(score, original_score, metric.signature())
    bleu = Bleu(references, options)
    comparison = bleu.compare(bleu.statistics(translations), bleu.statistics(originals))
    return Report(
        model=str(trained.model.path),
        digest=trained.digest,
        form=form,
        quantize=precision,
        bytes=tree_size(folder),
        original_bytes=tree_size(serving),
        sentences=len(sentences),
        bleu=scores[Bleu.name].score,
        original_bleu=comparison.score,
        bleu_signature=scores[Bleu.name].signature,
        difference=comparison.difference,
        p_value=comparison.p_value,
        scores=scores,
        tokens=tokens,
    )


def _max_length(original: LineTranslator) -> int:
    return original.search.max_length or int(original.signature("default_search")()["max_length"])


def _translate(translator: LineTranslator, sentences: list[Sentence]) -> list[str]:
    return [translation.text for translation in translate_sentences(translator, sentences)]


def _translate_greedily(original: LineTranslator, path: Path, sentences: list[Sentence]) -> list[str]:
    """Translates with TensorFlow Lite's interpreter. The original SavedModel tokenizes and detokenizes."""
    model = lite.LiteModel(path.read_bytes())
    max_length = _max_length(original)
    tokenized = original.tokenize([s.source.encode() for s in sentences])
    tokens, lengths = tokenized["tokens"], tokenized["length"]
    factor = int(original.info["max_length_factor"])
    outputs = [
        model.greedy(row[:length], min(max_length, length_bound(factor, length)) if factor else max_length)
        for row, length in zip(tokens, lengths, strict=True)
    ]
    padded = tf.ragged.constant(outputs, tf.int32, ragged_rank=1).to_tensor().numpy()
    return [text.decode() for text in detokenize(original, padded)]
