"""`bitext init`."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_message, print_output

if TYPE_CHECKING:
    from bitext.pipeline.config import PipelineConfig


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "init",
        run,
        "look at files with sentence pairs, and write a configuration that reads them",
        "bitext init data/mine.tsv --output mine.yaml",
        "bitext init memory.tmx --source en --target es --output mine.yaml",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a file with pairs, or two aligned files, the source first"
    )
    parser.add_argument("--source", default="", metavar="NAME", help="column or language of the source")
    parser.add_argument("--target", default="", metavar="NAME", help="column or language of the target")
    parser.add_argument("--name", default="", metavar="NAME", help="name of the pipeline")
    parser.add_argument(
        "--output",
        type=common.path_argument,
        metavar="FILE",
        help="the configuration to write, which must not exist (default: standard output)",
    )


def run(options: argparse.Namespace) -> int:
    """Prints what the files look like and writes the configuration. Returns the exit code."""
    from bitext.pipeline.terminal import log_shown, quiet_libraries

    quiet_libraries()
    if options.source and options.source == options.target:
        raise ConfigError(
            f"--source and --target are the same: {options.source!r}",
            "name another column or language with one",
        )
    if options.output is None:
        options.session.require_output()
    elif options.output.exists():
        raise ConfigError(f"{options.output} exists already", "name another file with --output, or remove it")
    with log_shown():
        lines, text = _look(options)
    if options.output is None:
        print_message("\n".join(lines))
        print_output(text.rstrip("\n"))
        return 0
    _write(options.output, text)
    print_output("\n".join([*lines, "", f"wrote {options.output}. Next: bitext inspect {options.output}"]))
    return 0


def _look(options: argparse.Namespace) -> tuple[list[str], str]:
    """Looks at the files. Returns what they look like, as lines, and the configuration."""
    from bitext.components.component import heavy_imports

    with heavy_imports():
        from bitext.components.example_gen.spans import parts
        from bitext.pipeline.scaffold import choice, looking, template

    found = choice.choose(options.files, options.source, options.target)
    name = options.name or template.name_of(options.files[0])
    values = template.Values(
        command=shlex.join(["bitext", "init", *sys.argv[2:]]),
        file=str(options.output or f"{name}.yaml"),
        name=name,
        example_gen=template.section(found),
        language=found[0].languages[0],
    )
    lines: list[str] = []
    directions: dict[str, tuple[str, str]] = {}
    for each in found:
        lines += [each.title, *(f"  note      {note}" for note in each.notes)]
    for part in parts(_checked(template.render(values)).example_gen):
        look = looking.look_at(part.parameters)
        looking.check_pairs(look)
        lines += [part.name] if part.name else []
        lines += [f"  {line}" for line in looking.in_words(look)]
        directions |= look.directions
        values = template.allowing(values, part.name, looking.reject_share(look))
        values = template.fitted(values, look)
    lines += looking.reversed_files(directions)
    return lines, template.render(values)


def _checked(text: str) -> PipelineConfig:
    """Loads a configuration that is not yet written.

    Raises:
      ConfigError: the options of the command give no valid configuration.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.yaml"
        path.write_text(text, encoding="utf-8")
        from bitext.pipeline.config import load

        try:
            return load(path)
        except ConfigError as error:
            words = re.sub(rf"{re.escape(str(path))}(?::\d+)?(?:, |: )", "", str(error))
            if words.startswith("name: "):
                raise ConfigError(f"--{words}", "give another name with --name") from error
            raise ConfigError(
                f"no valid configuration reads these files: {words}", "correct --source and --target"
            ) from error


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be written: {error.strerror}", "name a file in a writable folder with --output"
        ) from error
