"""Writes the configuration of the best trial: the user's, with the changed values.

It has `share_root: true`, because it runs in the root of the tuning, where its model is in the cache.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from bitext.components.artifacts import Trial
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.files import atomic_writer
from bitext.pipeline import config
from bitext.pipeline.config import source
from bitext.pipeline.tuning.space import Base
from bitext.pipeline.tuning.yaml_edit import CannotEdit, with_value

_MARK = "# bitext tune wrote this file: "
_DIGEST_DIGITS = 12


def check_output(path: Path, *inputs: Path) -> None:
    """Raises ConfigError if `path` is a file that `write` did not write, or that was changed since.

    Args:
      path: the file that will be written.
      inputs: the files that are read.
    """
    if any(path.exists() and each.exists() and os.path.samefile(path, each) for each in inputs):
        raise ConfigError(f"{path} is an input of this command", "name another file with --output")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} does not exist", "create it, or name another --output")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", "name a file with --output")
    if not path.exists():
        return
    first, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if not first.startswith(_MARK):
        raise ConfigError(
            f"{path} exists, and `bitext tune` did not write it",
            "name another file with --output, or move it",
        )
    if _digest(rest) not in first:
        raise ConfigError(
            f"{path} was changed since `bitext tune` wrote it", "name another file with --output, or move it"
        )


def write(path: Path, trial: Trial, base: Base) -> None:
    """Writes the configuration of a trial.

    Args:
      path: the file.
      trial: the trial.
      base: the configuration that the tuning started from.
    """
    text = _text(trial, base)
    about = f"trial {trial.number}, validation BLEU {trial.bleu:.2f}; the digest of the rest is"
    with atomic_writer(path) as file:
        file.write(f"{_MARK}{about} {_digest(text)}\n{text}".encode())


def _text(trial: Trial, base: Base) -> str:
    """Returns the configuration in the words of the user, or with every default if that is not possible."""
    wanted = msgspec.structs.replace(base.load(trial.settings), share_root=True)
    given = [config.parse_override(override) for override in base.overrides]
    values = {override.field: override.value for override in given}
    values |= {"root": base.root} if base.root else {}
    values |= trial.settings | {"share_root": True}
    text = base.text
    try:
        for key, value in values.items():
            text = with_value(text, key, value)
        if source.load(base.file, text=text, warn=lambda _: None) == wanted:
            return text
    except (CannotEdit, ConfigError):
        pass
    return config.dump(wanted)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
