"""The only file that knows Beam's runners and options, its remote file systems and its wrapping of errors."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from bitext.components.shared.errors import BitextError, ConfigError, DataError, EnvironmentFault

if TYPE_CHECKING:
    import apache_beam

LOCAL = "DirectRunner"


def pipeline_factory(runner: str = LOCAL, options: Sequence[str] = ()) -> Callable[[], apache_beam.Pipeline]:
    """A function that makes the Beam pipeline components run in. Beam is imported when it is called.

    `DirectRunner` is pinned to the Fn API runner inside this process. By that name Beam would first try
    Prism, a separate binary it downloads; the class cannot do so, and its failures carry the traceback of
    the worker that failed.
    """

    def make() -> apache_beam.Pipeline:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions

        if runner == LOCAL:
            from apache_beam.runners.portability.fn_api_runner import FnApiRunner

            flags = [*options, "--direct_running_mode=in_memory"]
            return apache_beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(flags))
        try:
            return apache_beam.Pipeline(options=PipelineOptions([f"--runner={runner}", *options]))
        except (ValueError, ImportError) as error:
            raise ConfigError(
                f"beam.runner {runner}: {error}",
                "Correct beam.runner and beam.options, or install the runner's package.",
            ) from error

    return make


@contextlib.contextmanager
def errors_unwrapped() -> Iterator[None]:
    """Within, an error of ours that a Beam function raised, or an interrupt, is raised as it was.

    Nor does Beam log, traceback and all, what it raises here anyway.
    """
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as error:
        if own := raised_in_beam(error):
            raise own from error
        raise


def raised_in_beam(error: BaseException) -> BitextError | KeyboardInterrupt | None:
    """The BitextError, or the interrupt, behind what Beam makes of it, if there is one.

    Beam raises a copy of it, or a RuntimeError, with the message and ` [while running '<step>']`; a copy has
    lost the remedy, and keeps the original as its cause.
    """
    seen: BaseException | None = error
    while seen is not None and "[while running '" in str(seen):
        seen = seen.__cause__ or seen.__context__
    return seen if seen is not error and isinstance(seen, BitextError | KeyboardInterrupt) else None


def remote_fingerprints(pattern: str) -> dict[str, str]:
    """What identifies the content of each remote file (gs://, s3://, ...) that matches `pattern`.

    Bytes are not read: the file system's checksum, where it has one, and the size stand for them.
    """
    from apache_beam.io.filesystems import FileSystems

    try:
        found = FileSystems.match([pattern])[0].metadata_list
        prints = {f.path: f"{FileSystems.checksum(f.path)} {f.size_in_bytes}" for f in found}
    except ValueError as error:
        raise DataError(
            f"{pattern}: {error}", "Install the extra of apache-beam for this file system."
        ) from error
    except OSError as error:
        raise EnvironmentFault(
            f"{pattern}: cannot be reached: {error}", "Check the address and the credentials."
        ) from error
    return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in prints.items()}
