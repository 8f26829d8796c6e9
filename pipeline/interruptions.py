"""SIGINT (Ctrl-C) and SIGTERM: the first one ends the command, and further ones do not disturb its end.

The first signal raises KeyboardInterrupt, or `Terminated`, in the main thread: temporary files are removed
and the end of a run is recorded. Further signals are ignored for `PATIENCE_SECONDS`. After that, the next one
ends the process at once. Outputs appear by one rename, so they are complete or absent in that case, too.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

RESEND_SECONDS = 0.1
"""Seconds until an interruption that could not be raised is sent again."""
PATIENCE_SECONDS = 2.0
"""Seconds after the first signal during which further ones are ignored."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM. The run ends as it does on Ctrl-C."""


def signal_of(error: KeyboardInterrupt) -> int:
    """Returns the number of the signal that raised an exception."""
    return signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT


def ending(number: int) -> str:
    """Returns the message about a command that a signal ended."""
    return "terminated" if number == signal.SIGTERM else "interrupted"


class Interruptions:
    """Context manager: handles the signals of this process.

    Inside another one, it has no effect of its own and gives the other one. Outside the main thread it has
    none either: the surrounding program handles signals.
    """

    _active: Interruptions | None = None

    def __init__(self) -> None:
        self._first: int | None = None
        self._first_time = 0.0
        self._is_raised = False
        self._is_ending = False
        self._is_resent = False
        self._exit_code: int | None = None
        self._base: FrameType | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruptions:
        if Interruptions._active is not None:
            return Interruptions._active
        if threading.current_thread() is not threading.main_thread():
            return self
        self._base = sys._getframe(1)
        for number in SIGNALS:
            # A shell's background job ignores Ctrl-C, and so must this program.
            if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
        sys.unraisablehook = self._send_discarded_again
        Interruptions._active = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Interruptions._active is not self:
            return
        self._is_ending = True
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        sys.unraisablehook = sys.__unraisablehook__
        Interruptions._active, self._base = None, None

    def raise_again(self) -> None:
        """Raises the interruption of this process again, if there was one: a library has hidden it."""
        if self._is_raised:
            raise self._exception()

    def ignore(self) -> None:
        """Raises nothing any more: the command ends anyway."""
        self._is_ending = True

    def exit_with(self, code: int) -> None:
        """Ends the process with `code` at the next signal: only Python's own end is left to be done."""
        self._is_ending, self._exit_code = True, code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. It runs in the main thread, between two instructions of Python code."""
        is_own, self._is_resent = self._is_resent, False
        if self._exit_code is not None:
            os._exit(self._exit_code)
        if self._first is None:
            self._first, self._first_time = number, time.monotonic()
        elif not is_own and time.monotonic() - self._first_time > PATIENCE_SECONDS:
            self._exit_now(self._first)
        if self._is_ending or self._is_raised:
            return
        if self._is_importing(frame):
            self._send_again()
            return
        self._is_raised = True
        raise self._exception()

    def _exception(self) -> KeyboardInterrupt:
        return Terminated() if self._first == signal.SIGTERM else KeyboardInterrupt()

    def _is_importing(self, frame: FrameType | None) -> bool:
        """Returns whether the main thread imports a module.

        An exception in an import can get lost, or abort the process: native code that imports modules turns
        it into an ImportError, or does not expect it.
        """
        while frame is not None and frame is not self._base:
            code = frame.f_code
            if code.co_name == "_find_and_load" and code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False

    def _send_again(self) -> None:
        """Sends the first signal again, from a thread and a moment later: it arrives in other code."""

        def send() -> None:
            if not self._is_ending and self._first is not None:
                self._is_resent = True
                os.kill(os.getpid(), self._first)

        timer = threading.Timer(RESEND_SECONDS, send)
        timer.daemon = True
        timer.start()

    def _send_discarded_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Sends an interruption again that Python has discarded.

        Python discards an exception that a signal handler raises in a finalizer or in the callback of a weak
        reference.
        """
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
            return
        self._is_raised = False
        if self._first is None:  # raised by other code
            self._first, self._first_time = signal.SIGINT, time.monotonic()
        self._send_again()

    @staticmethod
    def _exit_now(number: int) -> None:
        """Ends the process. The message is written without Python's buffers, which may be in use."""
        with contextlib.suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
            os.write(sys.stderr.fileno(), f"error: {ending(number)}\n".encode())
        os._exit(128 + number)


def ignore_at_exit() -> None:
    """Ignores the signals when Python ends: it then handles them by their default, as if it were killed.

    Call it before other code registers functions for the exit, so that it is effective after them.
    """
    for number in SIGNALS:
        atexit.register(signal.signal, number, signal.SIG_IGN)
