"""What data may look like: curated schemas, the features they speak of, and their loader."""

from __future__ import annotations

from pathlib import Path

BITEXT = Path(__file__).resolve().parent / "bitext.pbtxt"
