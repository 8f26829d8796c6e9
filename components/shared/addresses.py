"""Addresses of remote files (`s3://bucket/x`): what may be one, and what errors of file systems mean."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import PurePath

from bitext.components.shared import faults
from bitext.components.shared.errors import BitextError, ConfigError, EnvironmentFault

EXTRAS = {
    "s3": "aws",
    "s3a": "aws",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "hdfs": "hdfs",
}
"""The extra of this package that a kind of path needs, by the beginning of the path."""
_CREDENTIALS = re.compile("[^/@]*:[^/@]*@")
"""A user and a password at the begin of an address, after `://`."""
_ONE_SLASH = re.compile("([a-z0-9]+):/(?!/)")
_PACKAGES = frozenset(
    {
        "adlfs",
        "aiobotocore",
        "aiohttp",
        "azure",
        "botocore",
        "fsspec",
        "gcsfs",
        "s3fs",
        "urllib3",
    }
)
"""Packages of file systems. Some raise errors of a network that are no OSError."""


def is_remote(path: str | PurePath) -> bool:
    """Whether a path or pattern is of a remote file system."""
    return "://" in str(path)


def check_no_password(text: str) -> None:
    """Raises ConfigError, which does not show it, if a remote address has a password."""
    scheme, _, rest = text.partition("://")
    if _CREDENTIALS.match(rest):
        raise ConfigError(
            f"an address {scheme}://... has a password, which would be recorded",
            "give the credentials in the environment",
        )


def mistyped_address(text: str) -> tuple[str, str] | None:
    """Returns what is wrong with an address with one slash, which would be a local folder, and the remedy."""
    match = _ONE_SLASH.match(text)
    if match is None or match[1] not in EXTRAS:
        return None
    return f"{text!r} has one slash after {match[1]}:", f"write {match[1]}://"


def folder_problem(text: str) -> str:
    """Returns why a remote address cannot be that of a folder, beginning with a verb; empty if it can.

    File systems take some addresses for others: one with the characters of globs, or with `//`.
    """
    scheme, _, rest = text.partition("://")
    if _CREDENTIALS.match(rest):
        return f"has a password, which would be recorded: {scheme}://... ; give it in the environment"
    if scheme != scheme.lower():
        return f"begins with {scheme}://, which is written {scheme.lower()}://"
    if not rest.strip("/"):
        return "names no bucket or host"
    if characters := sorted(set(rest) & set("*?[]{}")):
        return f"has the character {' '.join(characters)}, which stands for others in a pattern"
    parts = rest.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts[1:]):
        return "has a part that is empty, `.` or `..`"
    return ""


@contextlib.contextmanager
def reporting_faults(text: str) -> Iterator[None]:
    """Context manager: re-raises errors of a file system's package that are no OSError, with a remedy.

    Args:
      text: the path, for the message.

    Raises:
      ConfigError: the package of the file system is not installed, or nobody knows the file system.
      EnvironmentFault: the file system cannot be reached, or refuses the credentials.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, BitextError):
        raise
    except Exception as error:
        if is_remote(text) and (fault := fault_of(error, text)):
            raise fault from error
        raise


def fault_of(error: BaseException, text: str) -> BitextError | None:
    """Returns what an error of a remote file system means for a user; None if it is of something else.

    Args:
      error: the error.
      text: the path that was used.
    """
    scheme = text.partition("://")[0]
    if isinstance(error, ImportError):
        extra = EXTRAS.get(scheme)
        remedy = f"install it: pip install 'bitext[{extra}]'" if extra else "install fsspec's package for it"
        return ConfigError(f"{text}: the package for {scheme}:// is not installed: {error}", remedy)
    if isinstance(error, ValueError) and "endpoint" in str(error).lower():
        return ConfigError(f"{text}: {error}", "correct the address of the store in the environment")
    if isinstance(error, ValueError) and ("filesystem" in str(error) or "Protocol" in str(error)):
        known = ", ".join(f"{name}://" for name in EXTRAS)
        return ConfigError(f"{text}: {scheme}:// is no known file system", f"use a local path or {known}")
    if isinstance(error, OSError) and error.filename is not None and error.errno in faults.REMEDIES:
        return faults.environment_fault(error.errno, error.filename)  # of the local disk
    if isinstance(error, PermissionError):
        return EnvironmentFault(
            f"{text}: access denied: {error}",
            "check the credentials in the environment and the rights that they have",
        )
    return _network_fault(error, text) if isinstance(error, OSError) else network_fault(error, text)


def network_fault(error: BaseException, text: str = "a remote file") -> EnvironmentFault | None:
    """Returns the fault that an error of a file system's package is; None if it is of another package.

    Args:
      error: the error.
      text: the path that was used, or a name for it.
    """
    package = type(error).__module__.partition(".")[0]
    return _network_fault(error, text) if package in _PACKAGES else None


def _network_fault(error: BaseException, text: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"{text}: {type(error).__name__}: {' '.join(str(error).split())}",
        "check the address, the network and the credentials in the environment",
    )
