"""Finds the model that `bitext translate` uses without `--model`: the one pushed from the current folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bitext.components.shared.errors import BitextError, ConfigError, DataError
from bitext.components.translation.translator import find_saved_model
from bitext.pipeline.config import load

MOST_CONFIGURATIONS = 100
"""Configurations of the current folder that are looked at."""


def default_model(default_config: Path) -> Path:
    """Returns the serving folder to use without `--model`: the only one with a model.

    It is looked for in the serving folders of the configurations in the current folder and of the default
    configuration, and in the folders below `serving`.

    Raises:
      ConfigError: there are several.
      DataError: there is none.
    """
    folders: dict[str, Path] = {}
    for folder in _serving_folders(default_config):
        if _has_model(folder):
            folders.setdefault(os.path.realpath(folder), folder)
    if len(folders) == 1:
        return next(iter(folders.values()))
    if not folders:
        raise DataError(
            f"no model: {Path.cwd()} has no serving folder with a pushed version",
            "run `bitext run CONFIG` here to train and push one, or name a folder with --model",
        )
    raise ConfigError(
        f"several models are served from {Path.cwd()}: {', '.join(map(str, folders.values()))}",
        f"name one of them: --model {next(iter(folders.values()))}",
    )


def _serving_folders(default_config: Path) -> Iterator[Path]:
    """Yields the serving folders, which need not exist; a folder may be yielded twice."""
    local = sorted([*Path().glob("*.yaml"), *Path().glob("*.yml")])[:MOST_CONFIGURATIONS]
    for file in (*local, default_config):
        try:
            yield Path(load(file, warn=lambda _: None).serving)
        except ConfigError:  # another program's YAML file
            continue
    yield from sorted(Path("serving").glob("*/"))


def _has_model(folder: Path) -> bool:
    try:
        return find_saved_model(folder).is_dir()
    except (BitextError, OSError):
        return False
