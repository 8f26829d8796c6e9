"""The style sheet and the scripts of a page."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup


def asset(name: str) -> Markup:
    """Returns a file of the folder `assets`."""
    return Markup(Path(__file__).with_name("assets").joinpath(name).read_text(encoding="utf-8"))
