"""Types of parameters that name files. In a configuration a leading `~` of theirs is a home directory."""

from __future__ import annotations

from typing import Annotated

import msgspec

LocalPath = Annotated[str, msgspec.Meta(extra={"path": "path"})]
"""A file or folder of this machine."""
PathPattern = Annotated[str, msgspec.Meta(extra={"path": "path or glob"})]
"""A path or a glob, local or of a file system that Beam opens."""
