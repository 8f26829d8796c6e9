"""Flink's REST interface: the job server of Beam tells nothing of a running job but its state."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 10.0
ENDED = ("FINISHED", "CANCELED", "FAILED")


def find(url: str, job_name: str) -> dict[str, Any] | None:
    """Returns Flink's entry of the newest job of a name (`jid`, `state`, ...), or None.

    Raises:
      OSError: Flink does not answer.
    """
    jobs = [job for job in _request(f"{url}/jobs/overview")["jobs"] if job["name"] == job_name]
    return max(jobs, key=lambda job: int(job["start-time"]), default=None)


def progress(url: str, job_name: str) -> str:
    """Returns how far a job is: `3 of 117 tasks finished, 5 running, 1,200 records`; empty: unknown."""
    try:
        job = find(url, job_name)
        if job is None:
            return ""
        vertices = _request(f"{url}/jobs/{job['jid']}")["vertices"]
        states = [vertex["status"] for vertex in vertices]
        records = sum(
            int(vertex["metrics"].get(name, 0))
            for vertex in vertices
            for name in ("read-records", "write-records")
        )
    except (OSError, KeyError, TypeError, ValueError):
        return ""
    finished, running = states.count("FINISHED"), states.count("RUNNING")
    return f"{finished} of {len(states)} tasks finished, {running} running, {records:,} records"


def cancel(url: str, job_id: str) -> None:
    """Asks Flink to cancel a job.

    Raises:
      OSError: Flink does not answer, or refuses.
    """
    _request(f"{url}/jobs/{job_id}?mode=cancel", "PATCH")


def _request(url: str, method: str = "GET") -> Any:
    """Returns what Flink answers."""
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read() or b"{}")
    except (urllib.error.HTTPError, ValueError) as error:
        raise OSError(f"{url}: {error}") from error
