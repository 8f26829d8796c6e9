"""`bitext evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.components.shared.display import path_text
from bitext.components.shared.errors import ConfigError
from bitext.pipeline.commands import common, model_arguments
from bitext.pipeline.streams import print_message

if TYPE_CHECKING:
    from bitext.components.translation.test_set import Options, TestSet, Translations

LEAST_SAMPLES, MOST_SAMPLES = 100, 100_000


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "evaluate",
        run,
        "translate a test set and score the translations, or score a file of translations",
        "bitext evaluate --source news.en --reference news.es --model serving/toy",
        "bitext evaluate --hypothesis news.out --reference news.es --reference news-2.es --json",
    )
    parser.add_argument(
        "--source",
        type=common.path_or_stream,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="the text to translate, one sentence a line, plain, .gz, .bz2, .xz or .zst; - : standard input",
    )
    parser.add_argument(
        "--reference",
        type=common.path_or_stream,
        action="append",
        required=True,
        metavar="FILE",
        help="the reference translation of each line (repeatable)",
    )
    parser.add_argument(
        "--hypothesis",
        type=common.path_or_stream,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="score these translations; no model is loaded",
    )
    model_arguments.add_model(parser)
    parser.add_argument(
        "--output",
        type=common.path_argument,
        metavar="FILE",
        help="write the translations to this file as well, one a line",
    )
    _add_metric_arguments(parser)
    model_arguments.add_search(parser)
    model_arguments.add_splitting(parser)
    model_arguments.add_batch_size(parser)
    common.add_json_argument(parser)


def _add_metric_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenize",
        default="auto",
        metavar="NAME",
        help="sacreBLEU's tokenizer for BLEU: 13a, intl, zh, ja-mecab, ko-mecab, char or none (default: by"
        " the script of the references)",
    )
    parser.add_argument("--lowercase", action="store_true", help="all metrics ignore letter case")
    parser.add_argument(
        "--bootstrap-samples",
        type=common.whole_number,
        default=1000,
        metavar="N",
        help="number of resamples for the 95 %% intervals (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Prints the scores and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries(native_errors=False)
    from bitext.components.translation import test_set as test_sets
    from bitext.components.translation.output import STANDARD_INPUT, check_output_file
    from bitext.components.translation.parallel_text import TextFile
    from bitext.components.translation.translator import find_saved_model

    _check(options)
    scoring = _scoring(options)
    source, hypothesis = (
        TextFile(getattr(options, name)) if name in options else None for name in ("source", "hypothesis")
    )
    references = [TextFile(path) for path in options.reference]
    files = [file for file in (source, hypothesis, *references) if file is not None]
    for file in files:
        check_output_file(options.output, file.path or STANDARD_INPUT)
    if any(file.path is None for file in files):
        options.session.require_input()
    options.session.require_output()
    test_set = test_sets.read_test_set(source, references, hypothesis)
    tokenization = test_sets.tokenization_of(test_set, scoring)
    if tokenization.warning:
        print_message(f"warning: {tokenization.warning}")
    model = None if hypothesis is not None else model_arguments.model(options)
    translations = None if model is None else _translate(options, test_set, model)
    texts = (test_set.hypotheses or []) if translations is None else translations.texts
    scores = test_sets.score(test_set, texts, scoring)
    report = {
        "model": None if model is None else str(find_saved_model(model)),
        "source": None if source is None else source.name,
        "hypothesis": None if hypothesis is None else hypothesis.name,
        "reference": [file.name for file in references],
        **test_sets.to_json(test_set, scores, translations),
    }
    common.print_report(report, lambda report: render(report, str(tokenization)), options.json)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises ConfigError if options contradict each other."""
    if options.output == Path("-"):
        raise ConfigError(
            "--output - : standard output has the scores", "name a file for the translations with --output"
        )
    if "hypothesis" not in options:
        if "source" not in options:
            raise ConfigError(
                "neither --source nor --hypothesis is given",
                "name the text to translate with --source, or translations with --hypothesis",
            )
        return
    for name in ("model", "output", "trust_model", "source_language", "whole_lines", *model_arguments.SEARCH):
        if getattr(options, name) not in (None, False):
            raise ConfigError(
                f"--{name.replace('_', '-')} is given with --hypothesis, which is scored without a model",
                "leave one of them out",
            )


def _scoring(options: argparse.Namespace) -> Options:
    """Returns how the translations are scored."""
    from typing import get_args

    from bitext.components.shared.metrics.tokenizers import Tokenizer
    from bitext.components.translation.test_set import Options

    known = get_args(Tokenizer)
    if options.tokenize not in known:
        raise ConfigError(
            f"--tokenize {options.tokenize}: there is no such tokenizer",
            f"the tokenizers are {', '.join(known)}",
        )
    if not LEAST_SAMPLES <= options.bootstrap_samples <= MOST_SAMPLES:
        raise ConfigError(
            f"--bootstrap-samples must be {LEAST_SAMPLES} to {MOST_SAMPLES:,},"
            f" received {options.bootstrap_samples}"
        )
    return Options(options.tokenize, options.lowercase, options.bootstrap_samples)


def _translate(options: argparse.Namespace, test_set: TestSet, model: Path) -> Translations:
    """Translates the test set, and writes the translations to `--output`."""
    search = model_arguments.search(options)
    model_arguments.import_tensorflow()
    from bitext.components.translation.output import open_output
    from bitext.components.translation.test_set import translate_test_set
    from bitext.components.translation.translator import LineTranslator
    from bitext.pipeline import bars

    translator = LineTranslator(model, search, options.batch_size, trusted=options.trust_model)
    with bars.drawn("sentences", len(test_set.sources or ())) as warn:
        translations = translate_test_set(test_set, translator, model_arguments.splitting(options), warn)
    if options.output is not None:
        with open_output(options.output) as write:
            write("".join(f"{text}\n" for text in translations.texts).encode())
    return translations


def render(report: dict[str, Any], tokenization: str) -> str:
    """Returns the report as text."""
    from bitext.components.shared.metrics import METRICS

    least, most = report["references"]
    number = f"{least}" if least == most else f"{least} to {most}"
    references = f"{number} reference{'s' * (most != 1)} each"
    blank = report["blank_lines"]
    left_out = f"; {blank:,} blank line{'s' * (blank != 1)}" if blank else ""
    lines = [
        f"{report['sentences']:,} sentences of {', '.join(report['reference'])}, {references}{left_out}",
        f"translations of {path_text(report['model'])}" if report["model"] else report["hypothesis"],
        tokenization,
    ]
    width = max(len(metric.label) for metric in METRICS)
    for metric in METRICS:
        score = report["scores"][metric.name]
        low, high = score["interval"]
        lines.append(
            f"{metric.label:<{width}}  {score['score']:5.2f}  [{low:.2f}, {high:.2f}]  {score['signature']}"
        )
    lines.append(f"length ratio {report['length_ratio']:.3f}")
    if report["sentences_per_second"] is not None:
        value = "not finite" if report["perplexity"] is None else f"{report['perplexity']:.2f}"
        lines.append(f"perplexity {value}; {report['sentences_per_second']:.0f} sentences per second")
    return "\n".join(lines)
