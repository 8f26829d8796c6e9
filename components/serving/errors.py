"""The error of a request, with its HTTP status."""

from __future__ import annotations


class RequestError(Exception):
    """A request that is not answered.

    Attributes:
      status: the HTTP status, as TensorFlow Serving gives it for the same error.
      retry_seconds: seconds after which the client should try again; None: it should not.
    """

    def __init__(self, status: int, message: str, retry_seconds: int | None = None):
        super().__init__(message)
        self.status, self.retry_seconds = status, retry_seconds


INVALID, FORBIDDEN, NOT_FOUND, TOO_LARGE = 400, 403, 404, 413
CLOSED_BY_CLIENT, FAILED, UNAVAILABLE, TIMED_OUT = 499, 500, 503, 504
STATUS_OF_CODE = {
    1: CLOSED_BY_CLIENT,
    3: INVALID,
    4: TIMED_OUT,
    5: NOT_FOUND,
    6: 409,
    7: FORBIDDEN,
    8: 429,
    9: INVALID,
    10: 409,
    11: INVALID,
    12: 501,
    14: UNAVAILABLE,
    16: 401,
}
"""HTTP statuses by the code of an error of TensorFlow, as in TensorFlow Serving; of others it is 500."""
