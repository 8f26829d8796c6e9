"""Whether the remote file systems of a configuration answer, and let this machine read, write and delete."""

from __future__ import annotations

import secrets
import time
from typing import Any

from bitext.components.shared import storage
from bitext.components.shared.errors import BitextError
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.doctor.findings import Findings


def of_pipeline(config: PipelineConfig, findings: Findings) -> dict[str, dict[str, Any]]:
    """Returns, for each remote folder of a configuration, its `address` and the `seconds` of a trial.

    The trial creates a small file, tries to create it again, reads it and deletes it. An error, and a store
    on which two runs could create the same file, are problems in the findings.
    """
    folders = {"root": config.root_folder, "serving": config.serving_folder}
    return {name: _try(address, findings) for name, address in folders.items() if storage.is_remote(address)}


def _try(address: str, findings: Findings) -> dict[str, Any]:
    started = time.monotonic()
    try:
        file = storage.path(address) / f".doctor-{secrets.token_hex(4)}"
        storage.create(file, b"1")
        is_exclusive = not storage.create(file, b"2")
        with storage.reporting_faults(str(file)):
            file.read_bytes()
            file.unlink()
    except BitextError as error:
        findings.problem(str(error), error.remedy, error.exit_code)
        return {"address": address, "seconds": None}
    except OSError as error:
        findings.problem(f"{address}: {error}", "create the bucket, or correct the address and the rights")
        return {"address": address, "seconds": None}
    if not is_exclusive:
        findings.problem(
            f"{address}: the store creates a file that exists: two runs could use one root",
            "use a store, or a version of its server, that creates a file only if it does not exist",
        )
    return {"address": address, "seconds": round(time.monotonic() - started, 3)}


def rows(report: dict[str, Any]) -> dict[str, str]:
    """Returns the lines of the report, by label."""
    return {
        f"{name}": f"{store['address']} answers in {store['seconds']:.2f} s"
        if store["seconds"] is not None
        else f"{store['address']} does not answer"
        for name, store in (report["stores"] or {}).items()
    }
