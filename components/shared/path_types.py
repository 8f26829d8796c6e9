"""Types of configuration values that are paths: a leading `~` in them is expanded to the home directory."""

from __future__ import annotations

from typing import Annotated

import msgspec

LocalPath = Annotated[str, msgspec.Meta(extra={"path": "path", "local": True})]
"""A file or folder of this machine."""
Folder = Annotated[str, msgspec.Meta(extra={"path": "path"})]
"""A folder, local or of a remote file system (see `storage`)."""
PathPattern = Annotated[str, msgspec.Meta(min_length=1, extra={"path": "path or glob"})]
"""A path or a glob, local or of a remote file system (see `storage`)."""
