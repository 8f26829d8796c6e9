"""`bitext show`: one command for each kind of thing that a run has."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.commands import common, model_arguments, rejects

if TYPE_CHECKING:
    from bitext.pipeline.config import PipelineConfig

MOST_TEXTS = 1000
"""The most lines of standard input that `show subwords` takes."""


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "show",
        lambda options: options.parser.error("name what to show: bitext show data"),
        "show what a run has: data, rejects, statistics, vocabulary, translations; or how a text is cut",
        "bitext show data my.yaml --text tea",
        'bitext show subwords "Where is the station?" my.yaml',
    )
    kinds = parser.add_subparsers(title="what to show", metavar="WHAT", dest="what")
    _add_data(kinds)
    _add_rejects(kinds)
    _add_samples(kinds)
    _add_validations(kinds)
    _add_vocabulary(kinds)
    _add_statistics(kinds)
    _add_subwords(kinds)


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--run`."""
    parser.add_argument(
        "--run",
        dest="run_id",
        type=common.run_argument,
        metavar="RUN",
        help="the run: an id, the beginning of one, `last`, `previous` or `served`"
        " (default: the newest that has what is shown)",
    )


def _add_common(parser: argparse.ArgumentParser, limit: int | None, limited: str) -> None:
    """Adds CONFIG, `--run`, `--limit` and `--json`."""
    common.add_config_arguments(parser)
    add_run_argument(parser)
    if limit is not None:
        parser.add_argument(
            "--limit",
            type=rejects.limit,
            default=limit,
            metavar="N",
            help=f"the most {limited} that are shown; 0: all (default: %(default)s)",
        )
    common.add_json_argument(parser)


def _add_text_argument(parser: argparse.ArgumentParser, place: str) -> None:
    parser.add_argument(
        "--text", default="", metavar="TEXT", help=f"show only {place} this text (letter case counts)"
    )


def _add_data(kinds: common.Commands) -> None:
    parser = common.add_command(
        kinds,
        "data",
        _data,
        "show sentence pairs of a split, before Transform",
        "bitext show data my.yaml --limit 5",
        "bitext show data my.yaml --split eval --from 100 --json",
    )
    _add_common(parser, 10, "pairs")
    parser.add_argument(
        "--split", default="train", metavar="NAME", help="the split or test set (default: %(default)s)"
    )
    parser.add_argument(
        "--part", default="", metavar="NAME", help="only this span or corpus, as it is shown beside a pair"
    )
    _add_text_argument(parser, "pairs one of whose sides has")
    parser.add_argument(
        "--from",
        dest="first",
        type=_from_one,
        metavar="N",
        help="show pairs in order from number N on (default: a random sample)",
    )
    parser.add_argument(
        "--seed",
        type=rejects.limit,
        default=0,
        metavar="N",
        help="another random sample (default: %(default)s)",
    )


def _add_rejects(kinds: common.Commands) -> None:
    parser = common.add_command(
        kinds, "rejects", _rejects, "the same as `bitext rejects`", "bitext show rejects my.yaml"
    )
    rejects.add_arguments(parser)


def _add_samples(kinds: common.Commands) -> None:
    parser = common.add_command(
        kinds,
        "samples",
        _samples,
        "show translations of held-out sentences with their sentence scores",
        "bitext show samples my.yaml --order worst",
        "bitext show samples my.yaml --split golden --text station",
    )
    _add_common(parser, 10, "translations")
    parser.add_argument(
        "--split", default="test", metavar="NAME", help="the held-out set (default: %(default)s)"
    )
    parser.add_argument(
        "--order",
        choices=("worst", "best", "random"),
        default="worst",
        help="which come first, by the chrF of the sentence (default: %(default)s)",
    )
    _add_text_argument(parser, "sentences whose source, reference or translation has")


def _add_validations(kinds: common.Commands) -> None:
    parser = common.add_command(
        kinds,
        "validations",
        _validations,
        "show how the translations of some sentences change during the training",
        "bitext show validations my.yaml --limit 2",
    )
    _add_common(parser, 10, "sentences")
    _add_text_argument(parser, "sentences whose source, reference or a translation has")


def _add_vocabulary(kinds: common.Commands) -> None:
    parser = common.add_command(
        kinds,
        "vocabulary",
        _vocabulary,
        "show the size of the vocabulary, its scripts, and its pieces",
        "bitext show vocabulary my.yaml --order rarest",
        "bitext show vocabulary my.yaml --text tion --side source",
    )
    _add_common(parser, 10, "pieces of a side")
    parser.add_argument("--side", choices=("source", "target"), help="the side (default: both)")
    parser.add_argument(
        "--order",
        choices=("id", "longest", "rarest", "frequent"),
        default="longest",
        help="the order of the pieces; rarest and frequent count tokens in the training examples (default:"
        " %(default)s)",
    )
    _add_text_argument(parser, "pieces that have")


def _add_statistics(kinds: common.Commands) -> None:
    parser = common.add_command(
        kinds,
        "statistics",
        _statistics,
        "show TFDV's statistics of each split",
        "bitext show statistics my.yaml --split train",
        "bitext show statistics my.yaml --feature length_ratio --json",
    )
    _add_common(parser, 20, "most frequent values in the JSON")
    for option, meaning in (("split", "the split"), ("feature", "the feature")):
        parser.add_argument(
            f"--{option}",
            action="append",
            default=[],
            metavar="NAME",
            help=f"{meaning} (repeatable; default: all)",
        )


def _add_subwords(kinds: common.Commands) -> None:
    parser = common.add_command(
        kinds,
        "subwords",
        _subwords,
        "show how a text is normalized and cut into pieces of the vocabulary",
        'bitext show subwords "Where is the station?" my.yaml',
        'bitext show subwords "Where is the station?" --model serving/toy',
    )
    parser.add_argument("text", metavar="TEXT", help="the text; - : the lines of standard input")
    _add_common(parser, None, "")
    parser.add_argument(
        "--model",
        type=common.path_argument,
        help="the source side of this SavedModel or serving folder (default: both sides of the run's)",
    )
    common.add_trust_argument(parser)


def _from_one(text: str) -> int:
    number = common.whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more; received {text!r}")
    return number


def _load(options: argparse.Namespace) -> PipelineConfig:
    """Loads the configuration, for a command that prints to standard output."""
    from bitext.pipeline.terminal import quiet_libraries

    options.session.require_output()
    quiet_libraries()
    return common.load(options)


def _data(options: argparse.Namespace) -> int:
    config = _load(options)
    from bitext.pipeline.reports.show import data

    choice = data.Choice(
        options.split, options.part, options.text, options.first, options.limit or None, options.seed
    )
    report = data.collect(config, options.run_id, choice)
    common.print_report(report, lambda report: data.render(report, choice), options.json)
    return 0


def _rejects(options: argparse.Namespace) -> int:
    return rejects.run(options)


def _samples(options: argparse.Namespace) -> int:
    config = _load(options)
    from bitext.pipeline.reports.show import samples

    report = samples.collect(
        config, options.run_id, options.split, options.order, options.text, options.limit or None
    )
    common.print_report(
        report, lambda report: samples.render(report, options.order, options.text), options.json
    )
    return 0


def _validations(options: argparse.Namespace) -> int:
    config = _load(options)
    from bitext.pipeline.reports.show import validations

    report = validations.collect(config, options.run_id, options.text, options.limit or None)
    common.print_report(report, lambda report: validations.render(report, options.text), options.json)
    return 0


def _vocabulary(options: argparse.Namespace) -> int:
    config = _load(options)
    from bitext.pipeline.reports.show import vocabulary

    report = vocabulary.collect(
        config, options.run_id, options.side, options.order, options.text, options.limit or None
    )
    common.print_report(
        report, lambda report: vocabulary.render(report, options.order, options.text), options.json
    )
    return 0


def _statistics(options: argparse.Namespace) -> int:
    config = _load(options)
    from bitext.pipeline.reports.show import statistics

    report = statistics.collect(config, options.run_id, options.split, options.feature, options.limit or None)
    common.print_report(report, statistics.render, options.json)
    return 0


def _subwords(options: argparse.Namespace) -> int:
    texts = _texts(options)
    if options.model is not None and (options.config or options.run_id):
        raise ConfigError(
            "--model is given with a configuration or a run", "name the model, or the run that made it"
        )
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries(native_errors=False)
    config = _load(options)
    from bitext.pipeline.reports.show import subwords

    report: dict[str, Any]
    model = None if options.model is None else model_arguments.model(options)
    model_arguments.import_tensorflow()
    if model is not None:
        report = subwords.of_model(model, texts, trusted=options.trust_model)
    else:
        report = subwords.of_run(config, options.run_id, texts)
    common.print_report(report, subwords.render, options.json)
    return 0


def _texts(options: argparse.Namespace) -> list[str]:
    """Returns the texts to cut."""
    if options.text != "-":
        return [options.text]
    options.session.require_input()
    from bitext.components.translation.parallel_text import TextFile

    texts = TextFile(None).lines()
    if len(texts) > MOST_TEXTS:
        raise ConfigError(
            f"standard input has {len(texts):,} lines; at most {MOST_TEXTS:,} are shown",
            f"give fewer lines: head -{MOST_TEXTS}",
        )
    return texts
