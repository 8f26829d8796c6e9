"""Beam's job API: watches what a runner sends to a job service, finds and cancels jobs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

REQUEST_SECONDS = 10.0
"""The longest time that a question about a job may take."""
ENDED = ("DONE", "DRAINED", "FAILED", "CANCELLED", "UPDATED")
"""The states of a job that does not change any more."""
_POLL_SECONDS = 0.2


class Observer(Protocol):
    """Is told what a job service says of a job. The methods are called in threads of gRPC."""

    name: str

    def submitting(self, job_id: str) -> None:
        """The job is about to be started; its id may change."""

    def started(self, job_id: str) -> None:
        """The job has its final id."""

    def state_is(self, state: str) -> None:
        """The job service reported a state."""

    def message_is(self, text: str) -> None:
        """The job service sent a message."""


class WatchedService:
    """The stub of a job service that tells an observer what passes. The runner uses it instead of the stub.

    It gives the job its name, and takes Beam's limit of 300 s off the streams of states and messages: a job
    that takes longer would fail.
    """

    def __init__(self, service: Any, observer: Observer):
        self.service, self._observer = service, observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)

    def Prepare(self, request: Any, **options: Any) -> Any:  # names of Beam's job API
        """Prepares a job under the observer's name."""
        request.job_name = self._observer.name
        return self.service.Prepare(request, **options)

    def Run(self, request: Any, **options: Any) -> Any:
        """Starts the job."""
        self._observer.submitting(request.preparation_id)
        response = self.service.Run(request, **options)
        self._observer.started(response.job_id)
        return response

    def Cancel(self, request: Any, **options: Any) -> Any:
        """Cancels the job, without waiting for ever."""
        return ask(self.service.Cancel, request)

    def GetStateStream(self, request: Any, timeout: float | None = None) -> Iterator[Any]:
        """Yields the states of the job."""
        for event in self.service.GetStateStream(request):
            self._observer.state_is(state_name(event.state))
            yield event

    def GetMessageStream(self, request: Any, timeout: float | None = None) -> Iterator[Any]:
        """Yields the messages of the job."""
        for message in self.service.GetMessageStream(request):
            if message.HasField("message_response"):
                self._observer.message_is(message.message_response.message_text)
            yield message


def connect(endpoint: str, seconds: float = REQUEST_SECONDS) -> Any:
    """Returns the stub of a job service.

    Raises:
      ConnectionError: it does not answer.
    """
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2_grpc

    channel = grpc.insecure_channel(endpoint)
    try:
        grpc.channel_ready_future(channel).result(timeout=seconds)
    except grpc.FutureTimeoutError as error:
        channel.close()
        raise ConnectionError(f"{endpoint} does not answer") from error
    return beam_job_api_pb2_grpc.JobServiceStub(channel)


def ask(method: Callable[..., Any], request: Any) -> Any:
    """Calls a method of a job service with a time limit.

    Raises:
      ConnectionError: it does not answer, or answers with an error.
    """
    import grpc

    limit = {"timeout": REQUEST_SECONDS} if isinstance(method, grpc.UnaryUnaryMultiCallable) else {}
    try:
        return method(request, **limit)
    except grpc.RpcError as error:
        details = getattr(error, "details", None)
        raise ConnectionError(details() if callable(details) else str(error)) from error


def metrics_digest(service: Any, job_id: str) -> str:
    """Returns a digest of the counts of a running job; empty: the job service has none.

    Raises:
      ConnectionError: it does not answer.
    """
    from apache_beam.portability.api import beam_job_api_pb2

    answer = ask(service.GetJobMetrics, beam_job_api_pb2.GetJobMetricsRequest(job_id=job_id))
    content = answer.metrics.SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest() if content else ""


def state_and_counts(result: Any) -> tuple[str, str]:
    """Returns the state and the counts of a job of a runner without a job service, as Dataflow.

    Raises:
      ConnectionError: the engine does not answer.
    """
    from apitools.base.py.exceptions import Error

    try:
        return str(result.state), str(result.metrics().query())
    except (Error, OSError, RuntimeError, ValueError, LookupError) as error:
        raise ConnectionError(str(error)) from error


def find(service: Any, job_id: str, name: str) -> tuple[str, str] | None:
    """Returns the id and the state of a job by its id, or by its name if it has no such id; or None.

    Raises:
      ConnectionError: the job service does not answer.
    """
    from apache_beam.portability.api import beam_job_api_pb2

    jobs = ask(service.GetJobs, beam_job_api_pb2.GetJobsRequest()).job_info
    by_id = [job for job in jobs if job.job_id == job_id]
    by_name = [job for job in jobs if name and job.job_name == name]
    for job in (*by_id, *by_name):
        return job.job_id, state_name(job.state)
    return None


def cancel(service: Any, job_id: str, seconds: float) -> str:
    """Cancels a job and returns its state, at the latest after `seconds`.

    Raises:
      ConnectionError: the job service does not answer.
    """
    from apache_beam.portability.api import beam_job_api_pb2

    ask(service.Cancel, beam_job_api_pb2.CancelJobRequest(job_id=job_id))
    end = time.monotonic() + seconds
    while True:
        answer = ask(service.GetState, beam_job_api_pb2.GetJobStateRequest(job_id=job_id))
        state = state_name(answer.state)
        if state in ENDED or time.monotonic() > end:
            return state
        time.sleep(_POLL_SECONDS)


def state_name(state: int) -> str:
    """Returns the name of a state: `RUNNING`."""
    from apache_beam.portability.api import beam_job_api_pb2

    return str(beam_job_api_pb2.JobState.Enum.Name(state))
