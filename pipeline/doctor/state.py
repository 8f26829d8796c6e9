"""Whether the metadata store answers, and what the last run said."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bitext.components.shared.errors import BitextError
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.doctor.findings import Findings
from bitext.pipeline.layout import Layout
from bitext.pipeline.terminal import duration

SHOWN_CHARACTERS = 300
"""The most characters shown of the error of a run."""


def of_pipeline(config: PipelineConfig, findings: Findings) -> dict[str, Any]:
    """Returns `metadata`, how the store answers, and `last_run`, as `bitext status --json` has it, or null.

    An error of the store is a problem in the findings.
    """
    root = Path(config.work_folder)
    report: dict[str, Any] = {"address": None, "answers": False, "seconds": None, "runs": 0}
    last: dict[str, Any] | None = None
    started = time.monotonic()
    try:
        from bitext.pipeline.reports import status
        from bitext.pipeline.store.connection import describe, exists

        report["address"] = describe(config.metadata, root)
        if not exists(config.metadata, root):
            return {"metadata": report | {"answers": None}, "last_run": None}
        runs = status.collect(config)["runs"]
    except ImportError as error:
        findings.problem(f"a package of the metadata store cannot be imported: {error}", "`make setup`")
    except BitextError as error:
        findings.problem(str(error), error.remedy, error.exit_code)
    else:
        report |= {"answers": True, "runs": len(runs), "seconds": round(time.monotonic() - started, 3)}
        if runs:
            log = Layout.of(config).log_file(runs[0]["id"])
            last = {
                **{
                    key: runs[0][key]
                    for key in ("id", "state", "started", "seconds", "bleu", "blessed", "error")
                },
                "reasons": runs[0]["reasons"],
                "log": str(log) if log.is_file() else None,
            }
    return {"metadata": report, "last_run": last}


def rows(report: dict[str, Any]) -> dict[str, str]:
    """Returns the lines of the report, by label."""
    store, run = report["metadata"], report["last_run"]
    if store is None:
        return {}
    if store["answers"] is None:
        return {"metadata": f"{store['address']}: not there yet, no run so far"}
    if not store["answers"]:
        return {"metadata": f"{store['address'] or 'the metadata store'} does not answer"}
    count = store["runs"]
    lines = {
        "metadata": f"{store['address']} answers in {store['seconds']:.2f} s: {count:,}"
        f" run{'s' * (count != 1)}"
    }
    return lines | ({"last run": _run_row(run)} if run else {})


def _run_row(run: dict[str, Any]) -> str:
    """Returns the last run on one line."""
    took = "" if run["seconds"] is None else f", {duration(run['seconds'])}"
    bleu = "" if run["bleu"] is None else f", BLEU {run['bleu']:.2f}"
    blessed = {True: ", blessed", False: ", not blessed", None: ""}[run["blessed"]]
    said = "; ".join(filter(None, [*run["reasons"], run["error"]]))
    cut = said if len(said) <= SHOWN_CHARACTERS else f"{said[:SHOWN_CHARACTERS]} ..."
    text = f"{run['id']} {run['state']}, {run['started']}{took}{bleu}{blessed}"
    return text + (f": {cut}" if said else "") + (f" (log: {run['log']})" if run["log"] and said else "")
