"""`bitext serve`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from bitext.components.serving.settings import Limits, Settings
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.numbered import folder_number
from bitext.components.shared.storage import is_remote
from bitext.pipeline.commands import common, model_arguments
from bitext.pipeline.streams import print_message

_PACKAGES = ("starlette", "uvicorn")
"""The packages of the extra `serve`."""
_DEFAULTS = Settings.__dataclass_fields__
_LIMITS = {
    "body_bytes": "bytes of a request",
    "answer_bytes": "bytes of an answer, about",
    "instances": "texts of a request",
    "characters": "characters of a text",
    "beam": "beam size, samples or n-best translations of a request",
    "length": "max_length of a request",
    "tokens": "texts times translations times max_length of a request, or times characters of `target`",
}


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "serve",
        run,
        "serve a model over HTTP: a page to try it, and TensorFlow Serving's REST protocol",
        "bitext serve --model serving/toy",
        "bitext serve --model serving/toy --port 9000 --request-log requests.jsonl",
    )
    model_arguments.add_model(parser)
    parser.add_argument("--name", help="the model's name in /v1/models/NAME (default: that of the folder)")
    parser.add_argument(
        "--host",
        default=_default("host"),
        help="the address to listen on; 0.0.0.0: all, so that other machines reach it, without a password"
        " (default: %(default)s, this machine only)",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which browsers may reach the server (repeatable)",
    )
    parser.add_argument(
        "--port", type=common.whole_number, default=_default("port"), help="0: any (default: %(default)s)"
    )
    parser.add_argument(
        "--request-log",
        type=common.path_argument,
        metavar="FILE.jsonl",
        help="append the source texts of requests, which `request_log` of a configuration reads",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        type=_label,
        metavar="NAME=V",
        help="keep version V loaded too, for clients that ask for /v1/models/.../labels/NAME (repeatable)",
    )
    _add_batching_arguments(parser)
    for name, what in _LIMITS.items():
        default = Limits.__dataclass_fields__[name].default
        parser.add_argument(
            f"--max-{name.replace('_', '-')}",
            type=common.whole_number,
            default=default,
            metavar="N",
            help=f"the most {what} (default: {default:,})",
        )


def _add_batching_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size",
        type=common.whole_number,
        default=_default("batch_rows"),
        metavar="N",
        help="the most texts of several requests in one call of the model (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-delay",
        type=common.number,
        default=1000 * _default("batch_delay"),
        metavar="MS",
        help="milliseconds that a request waits for others though a core is free (default: %(default)g)",
    )
    parser.add_argument(
        "--queue-size",
        type=common.whole_number,
        default=_default("queued_rows"),
        metavar="N",
        help="the most texts that wait; further requests get 503 (default: %(default)s)",
    )
    parser.add_argument(
        "--extra-versions",
        type=common.whole_number,
        default=_default("extra_versions"),
        metavar="N",
        help="versions besides the served one that the page may load to compare (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=common.number,
        default=_default("timeout"),
        metavar="SECONDS",
        help="the time for a request to arrive, to be answered, and for the client to read the answer"
        " (default: %(default)g)",
    )
    parser.add_argument(
        "--grace",
        type=common.number,
        default=_default("grace"),
        metavar="SECONDS",
        help="on SIGTERM or Ctrl-C, wait so long for requests in progress (default: %(default)g)",
    )


def _label(text: str) -> tuple[str, int]:
    """A label and its version for argparse."""
    name, _, number = text.partition("=")
    version = folder_number(number)
    if not name or version is None or set("/:") & set(name):
        raise argparse.ArgumentTypeError(f"must be NAME=V, as in stable=3; received {text!r}")
    return name, version


def _default(name: str) -> Any:
    return _DEFAULTS[name].default


def run(options: argparse.Namespace) -> int:
    """Serves until a signal, and returns the exit code."""
    from bitext.components.serving.catalog import Catalog, check_labels

    _require_packages()
    settings = _settings(options)
    catalog = Catalog(settings.model)
    check_labels(settings.labels, catalog.versions(), catalog.folder)
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries(native_errors=False)
    model_arguments.import_tensorflow()
    from bitext.components.serving.server import serve

    code = serve(settings, print_message)
    if code:
        # A call of the model that was given up cannot be interrupted: Python would wait for its thread.
        print_message("warning: requests in progress were given up")
        sys.stdout.flush()
        os._exit(code)
    return code


def _require_packages() -> None:
    """Raises ConfigError if the extra `serve` is not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"`bitext serve` needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not"
            " installed",
            "pip install 'bitext[serve]'",
        )


def _watched(options: argparse.Namespace) -> Path:
    """Returns the folder to serve from.

    Raises:
      ConfigError: it is remote: new versions there would not be seen.
    """
    if options.model and is_remote(options.model):
        raise ConfigError(
            f"--model {options.model} is remote, and `bitext serve` watches a folder of this machine",
            "copy the serving folder here and again when a model was pushed, or mount the store",
        )
    return model_arguments.model(options)


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        model=_watched(options),
        name=options.name,
        host=options.host,
        port=options.port,
        trusted=options.trust_model,
        batch_rows=options.batch_size,
        batch_delay=options.batch_delay / 1000,
        queued_rows=options.queue_size,
        extra_versions=options.extra_versions,
        timeout=options.timeout,
        grace=options.grace,
        request_log=options.request_log,
        labels=dict(options.label),
        allowed_hosts=tuple(options.allowed_host),
        limits=Limits(**{name: getattr(options, f"max_{name}") for name in _LIMITS}),
    )
