"""The `bitext` command. Everything heavy is imported by the subcommand that needs it."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import gc
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bitext.components.shared.errors import BitextError, ConfigError, LockedError, NotBlessedError

if TYPE_CHECKING:
    from bitext.components.translation.translate import Search
    from bitext.pipeline.config import PipelineConfig
    from bitext.pipeline.outcome import Outcome
    from bitext.pipeline.terminal import Terminal

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "tatoeba.yaml"

EXIT_CODES = """\
exit codes:
  0    done
  1    an unexpected failure; its traceback is in the log file named
  2    the configuration or the command line cannot be used
  3    the data is missing, malformed, or violates the schema
  4    the run is complete, and its model was refused; nothing was pushed
  5    another run of the same pipeline, or into the same output, is under way
  6    the machine is in the way: a full disk, a read-only folder, no network
  7    training cannot go on: a loss that is not finite
  130  interrupted (Ctrl-C); 143 terminated (SIGTERM). The same command goes on where it stopped
"""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send, ends a run as tidily as Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, and returns the exit code; a failure is one clear message on standard error."""
    options = _parser().parse_args(arguments)
    atexit.register(gc.freeze)  # or Python looks through all that ends with it: a second, with TensorFlow
    log_file: list[Path] = []
    previous = _terminate_tidily()
    try:
        code: int = options.command(options, log_file)
        sys.stdout.flush()  # here, where a reader that has gone is no error
        return code
    except (BitextError, KeyboardInterrupt) as error:
        _complain(*_in_words(error, log_file), log_file)
        return _exit_code(error)
    except BrokenPipeError as error:  # the reader (`head`) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
        if log_file:
            _complain(
                "nobody reads the output any more, so the run ended",
                "The same command goes on where this one stopped.",
                log_file,
            )
        return _exit_code(error)
    except Exception as error:  # noqa: BLE001  (the edge of the program: told in short, kept whole in the log)
        log_file[:] = [_with_traceback(error, log_file)]
        _complain(*_in_words(error, log_file), log_file)
        return _exit_code(error)
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _terminate_tidily() -> signal._HANDLER:
    def handler(number: int, frame: object) -> NoReturn:
        raise _Terminated

    try:
        return signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread: the program around decides
        return None


def _exit_code(error: BaseException | None) -> int:
    """How the process ends after an error, or without one."""
    if error is None:
        return 0
    if isinstance(error, BitextError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 143 if isinstance(error, _Terminated) else 130
    return 1


def _in_words(error: BaseException, log_file: list[Path]) -> tuple[str, str]:
    """What happened, and what to do."""
    if isinstance(error, BitextError):
        return str(error), error.remedy
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "The same command goes on where this one stopped." if log_file else ""
    return f"{type(error).__name__}: {error}", "The traceback is in the log."


def _complain(message: str, remedy: str, log_file: list[Path]) -> None:
    print(f"error: {message}", file=sys.stderr)
    if remedy:
        print(f"what to do: {remedy}", file=sys.stderr)
    for path in log_file:
        if path.is_file():
            print(f"log: {path}", file=sys.stderr)


def _with_traceback(error: Exception, log_file: list[Path]) -> Path:
    """A log file that holds the error's traceback: the one there is, or one of its own."""
    for path in log_file:
        if path.is_file():
            innermost = "".join(traceback.format_exception(error)[-2:])
            if innermost not in path.read_text(encoding="utf-8", errors="replace"):
                with path.open("a", encoding="utf-8") as log:
                    traceback.print_exception(error, file=log)
            return path
    with tempfile.NamedTemporaryFile(
        "w", prefix="bitext-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return Path(file.name)


# Subcommands: each takes the parsed options and a list to name its log file in, and returns the exit code.


def _load(options: argparse.Namespace) -> PipelineConfig:
    import json

    from bitext.pipeline import config

    overrides = [*options.set, *([f"root={json.dumps(options.root)}"] if options.root else [])]
    return config.load(options.config or DEFAULT_CONFIG, overrides)


def _run(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.components.shared.parallel import share_cores
    from bitext.pipeline.terminal import JsonLines, Terminal, quiet_libraries

    quiet_libraries()
    share_cores()
    with contextlib.ExitStack() as around:
        terminal = Terminal()
        if options.log_format == "json":
            terminal = JsonLines(sys.stdout)
            around.enter_context(contextlib.redirect_stdout(sys.stderr))  # what a library prints is no event
        ending = around.enter_context(_ending_told(options, terminal, log_file))
        config = ending.config = _load(options)
        from bitext.pipeline.beam import pipeline_factory
        from bitext.pipeline.graph import create_pipeline
        from bitext.pipeline.metadata import Store
        from bitext.pipeline.runner import Runner, Selection, check_blessed
        from bitext.pipeline.summary import summarise

        runner = Runner(
            create_pipeline(config),
            Path(config.root),
            lambda: Store(config.metadata, Path(config.root), config.name),
            pipeline_factory(config.beam.runner, config.beam.options),
            terminal,
        )
        log_file.append(runner.log_file)
        selection = Selection(
            options.first, options.last, frozenset(options.force), options.explain_cache, options.force_bless
        )
        result = runner.run(selection, options.wait)
        if options.log_format == "human":
            print(f"\n{summarise(result, config.serving)}")
        check_blessed(result)
    return 0


@dataclasses.dataclass
class _Ending:
    """What is known of a run when it ends, however far it came."""

    started: float
    config: PipelineConfig | None = None


@contextlib.contextmanager
def _ending_told(options: argparse.Namespace, terminal: Terminal, log_file: list[Path]) -> Iterator[_Ending]:
    """Whatever ends the run is told to the programs that watch it, and raised as it was."""
    ending = _Ending(time.time())
    try:
        yield ending
    except BaseException as error:
        _tell_ending(options, terminal, log_file, ending, error)
        raise
    _tell_ending(options, terminal, log_file, ending, None)


def _tell_ending(
    options: argparse.Namespace,
    terminal: Terminal,
    log_file: list[Path],
    ending: _Ending,
    error: BaseException | None,
) -> None:
    """Writes the textfile and the last JSON line. What fails here is a warning, not how the run ends."""
    config, outcome, exit_code = ending.config, None, _exit_code(error)
    textfile = config.metrics.textfile if config else ""
    if isinstance(error, LockedError):  # the metrics are those of the run that holds the lock
        textfile = ""
    if config and terminal.run_id and (textfile or options.log_format == "json"):
        outcome = _on_record(config, terminal.run_id)
    started = outcome.run.started if outcome else ending.started
    ended = outcome.run.finished if outcome and outcome.run.finished else time.time()
    if config and textfile:
        from bitext.pipeline import openmetrics

        told = openmetrics.Ending(config.name, exit_code, started, ended, outcome)
        try:
            openmetrics.write(Path(textfile), told)
        except OSError as fault:
            print(
                f"warning: metrics.textfile {textfile} cannot be written: {fault.strerror}", file=sys.stderr
            )
    message, remedy = _in_words(error, log_file) if error else ("complete", "")
    terminal.ended(
        "run_finished" if error is None or isinstance(error, NotBlessedError) else "run_failed",
        message,
        state=outcome.run.state if outcome else None,
        exit_code=exit_code,
        seconds=round(ended - started, 3),
        bleu=outcome.last("ModelEvaluation", "bleu") if outcome else None,
        blessed=outcome.blessed if outcome else None,
        pushed_version=outcome.last("PushedModel", "version") if outcome else None,
        pushed_path=outcome.last("PushedModel", "path") if outcome else None,
        error=message if error else None,
        remedy=remedy or None,
        log=next((str(path) for path in log_file if path.is_file()), None),
    )


def _on_record(config: PipelineConfig, run_id: str) -> Outcome | None:
    from bitext.pipeline.outcome import collect

    try:
        return collect(config, run_id)
    except (BitextError, OSError) as fault:
        print(f"warning: what is on record of the run cannot be told: {fault}", file=sys.stderr)
        return None


def _config(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.pipeline.config import dump

    print(dump(_load(options)), end="")
    return 0


def _status(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = _load(options)
    import json

    from bitext.pipeline import status

    found = status.collect(config)
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else status.render(found))
    return 0


def _fetch(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.pipeline.fetch import fetch

    fetch(options.name, options.directory)
    return 0


def _translate(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.pipeline.terminal import native_notices_dropped, quiet_libraries

    quiet_libraries(native_errors=False)
    from bitext.components.shared.imports import unswept, without
    from bitext.components.translation.translate import Search, find_saved_model, main_translate

    through_beam = _worth_beam(options)
    model = options.model or Path(_load(options).serving)
    find_saved_model(model)
    # TensorFlow imports Keras, if it is there, and Keras what it draws with; a SavedModel needs none of them.
    with native_notices_dropped(), unswept(), without("keras", "tf_keras", "googleapiclient"):
        import tensorflow  # noqa: F401

    search = {name: getattr(options, name) for name in ("beam_size", "length_penalty", "max_length", "nbest")}
    if not through_beam:
        return main_translate(model, options.input, options.output, batch_size=options.batch_size, **search)
    _translate_in_bulk(options, model, Search(**search))
    return 0


def _worth_beam(options: argparse.Namespace) -> bool:
    """Whether a Beam runner is named, and the file is large enough for it."""
    from bitext.components.translation.bulk import WORTHWHILE_BYTES

    if options.beam_runner is None:
        if options.beam_option:
            raise ConfigError("--beam-option is given without --beam-runner", "add --beam-runner direct")
        return False
    if options.input is None or options.output is None:
        raise ConfigError(
            "--beam-runner translates a file into another, not standard input or output",
            "name both: bitext translate FILE --output FILE --beam-runner direct",
        )
    if not options.input.is_file():  # which the plain way tells
        return False
    size = options.input.stat().st_size
    if size <= WORTHWHILE_BYTES:
        print(
            f"{options.input} has {size:,} bytes; up to {WORTHWHILE_BYTES:,} are translated without Beam",
            file=sys.stderr,
        )
    return size > WORTHWHILE_BYTES


def _translate_in_bulk(options: argparse.Namespace, model: Path, search: Search) -> None:
    """Translates through Beam, and says on standard error which lines are done."""
    from bitext.pipeline.beam import errors_unwrapped, pipeline_factory
    from bitext.pipeline.config import Beam
    from bitext.pipeline.terminal import log, log_shown

    try:
        settings = Beam(runner=options.beam_runner, options=tuple(f"--{o}" for o in options.beam_option))
    except ValueError as error:
        raise ConfigError(str(error), "correct --beam-option") from error
    with log_shown(), errors_unwrapped():
        from bitext.components.translation.bulk.executor import translate_file

        translate_file(
            model,
            options.input,
            options.output,
            search,
            pipeline_factory(settings.runner, settings.options),
            batch_size=options.batch_size,
            say=log.info,
        )


def _lineage(options: argparse.Namespace, log_file: list[Path]) -> int:
    import json

    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = _load(options)
    from bitext.pipeline import lineage

    found = lineage.collect(config, options.version)
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else lineage.render(found))
    return 0


def _rollback(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = _load(options)
    from bitext.pipeline import rollback

    print(rollback.render(rollback.roll_back(config, options.reason, options.wait)))
    return 0


def _gc(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = _load(options)
    from bitext.pipeline import gc

    print(gc.render(gc.collect(config, options.keep, options.dry_run, options.wait), options.dry_run))
    return 0


def _export(options: argparse.Namespace, log_file: list[Path]) -> int:
    from bitext.components.shared.parallel import share_cores
    from bitext.pipeline.terminal import native_notices_dropped, quiet_libraries

    quiet_libraries(native_errors=False)
    share_cores()
    config = _load(options)
    with native_notices_dropped():  # the converter to TensorFlow Lite has many
        from bitext.components.exporter.exporter import export, render

        report = export(config, options.output, options.format, options.quantize)
    print(render(report, options.output))
    return 0


# The command line.


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: one message, what to do, exit code 2."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}\nwhat to do: {self.prog} --help", file=sys.stderr)
        sys.exit(ConfigError.exit_code)


class _Version(argparse.Action):
    """Looked up only when it is asked for."""

    def __init__(self, option_strings: list[str], dest: str, help: str):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"bitext {version('bitext')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bitext",
        description="Raw bitext in, a blessed SavedModel that translates out.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show this program's version and leave")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _command(commands, "run", _run, "run the pipeline; what did not change is taken from the cache")
    _config_arguments(run)
    run.add_argument(
        "--from", dest="first", metavar="NODE", help="start here; take earlier nodes' newest outputs"
    )
    run.add_argument("--to", dest="last", metavar="NODE", help="stop after this node")
    run.add_argument(
        "--force", action="append", default=[], metavar="NODE", help="run it though cached (repeatable)"
    )
    run.add_argument(
        "--explain-cache", action="store_true", help="say for every node why it runs or does not, and run"
    )
    run.add_argument(
        "--log-format",
        choices=("human", "json"),
        default="human",
        help="what standard output has: lines for a person, or a JSON object for each event",
    )
    _wait_argument(run)
    run.add_argument(
        "--force-bless",
        metavar="REASON",
        help="bless the model whatever its scores; the reason is recorded with the verdict",
    )

    config = _command(commands, "config", _config, "print the configuration with every default filled in")
    _config_arguments(config)

    status = _command(commands, "status", _status, "show the last runs, their scores, and what is pushed")
    _config_arguments(status)
    status.add_argument("--json", action="store_true", help="as one JSON object")

    lineage = _command(
        commands, "lineage", _lineage, "show what a pushed version comes from, down to files and libraries"
    )
    lineage.add_argument("version", type=int, metavar="VERSION", help="the pushed version")
    _config_arguments(lineage)
    lineage.add_argument("--json", action="store_true", help="as one JSON object, with all parameters")

    rollback = _command(
        commands,
        "rollback",
        _rollback,
        "serve the previous model again; the newest is withdrawn for good",
    )
    _config_arguments(rollback)
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why; it is recorded")
    _wait_argument(rollback)

    gc = _command(
        commands, "gc", _gc, "remove outputs of old runs; never what the served model or the cache needs"
    )
    _config_arguments(gc)
    gc.add_argument("--keep", type=int, required=True, metavar="N", help="complete runs to keep")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    _wait_argument(gc)

    export = _command(
        commands, "export", _export, "write the model now served smaller, or for TensorFlow Lite"
    )
    _config_arguments(export)
    export.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the folder to make")
    export.add_argument(
        "--quantize",
        choices=("float16", "int8"),
        help="store the weights so; what that costs in BLEU is measured (default: float32, for tflite only)",
    )
    export.add_argument(
        "--format",
        choices=("saved_model", "tflite"),
        default="saved_model",
        help="all signatures, or `encode` and `decode_step` over tokens (default: %(default)s)",
    )

    fetch = _command(commands, "fetch", _fetch, "obtain an example corpus: tatoeba-es, tatoeba-uk")
    fetch.add_argument("name", metavar="NAME", help="which corpus")
    fetch.add_argument("--directory", type=Path, default=Path("data"), help="where to (default: %(default)s)")

    translate = _command(commands, "translate", _translate, "translate lines from standard input or a file")
    _translate_arguments(translate)
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, function: object, summary: str
) -> _Parser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(
            f"must be a number of seconds; received {text!r} (CONFIG comes before --wait)"
        )
    return seconds


def _wait_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        nargs="?",
        type=_seconds,
        const=math.inf,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for another run of this pipeline to end; without a number, as long as it takes"
        " (default: leave at once, with exit code 5)",
    )


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        nargs="?",
        type=Path,
        metavar="CONFIG",
        help="configuration file (default: Tatoeba English-Spanish)",
    )
    parser.add_argument("--root", metavar="FOLDER", help="the pipeline root, instead of the configuration's")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=C",
        help="set a value of the configuration (repeatable)",
    )


def _translate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="a file with a sentence on each line, plain, .gz, .bz2 or .zst (default: standard input)",
    )
    parser.add_argument("--output", type=Path, help="the file to write (default: standard output)")
    parser.add_argument(
        "--model",
        type=Path,
        help="a SavedModel, or a serving folder (default: what the default configuration pushes)",
    )
    parser.add_argument("--beam-size", type=int, help="hypotheses kept at each step (default: the model's)")
    parser.add_argument("--length-penalty", type=float, help="exponent of the length that divides a score")
    parser.add_argument("--max-length", type=int, help="longest translation, in tokens")
    parser.add_argument("--nbest", type=int, default=1, help="translations a line, each with its score")
    parser.add_argument(
        "--batch-size", type=int, default=64, help="sentences translated at once (default: %(default)s)"
    )
    parser.add_argument(
        "--beam-runner",
        metavar="NAME",
        help="translate a FILE of more than 1 MiB into --output through Beam, by this runner (direct: in this"
        " process); killed, the same command translates what is missing",
    )
    parser.add_argument(
        "--beam-option",
        action="append",
        default=[],
        metavar="K=V",
        help="an option of the runner (repeatable)",
    )
    parser.set_defaults(config=None, root=None, set=[])
