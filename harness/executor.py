"""The local executor: `concurrent.futures.Executor`, one process a task, so that a crash is one failed cell.

(In ``ProcessPoolExecutor`` one killed worker breaks every pending future.) An engine for clusters fits the same seam.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from typing import Any

#: imported once in the fork server, so that a cell starts in a fraction of a second
_PRELOAD = ["harness.preload"]


class CellCrashed(RuntimeError):
    """The process ended without an answer: killed, out of memory, or crashed in native code."""


class LocalExecutor(Executor):
    """Runs each submitted call in a process of its own, at most `workers` at once.

    A call gets one more keyword, `send`, and `on_message` receives what it sends. (Under any other executor it gets none, and
    goes unheard: ``submit(run_cell, job)`` works with both.)
    """

    def __init__(self, workers: int, on_message: Callable[[dict], None]) -> None:
        # fork would copy the parent's threads' locks; forkserver children start clean and share the imports
        method = "forkserver" if sys.platform.startswith("linux") else "spawn"
        self._context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(_PRELOAD)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="cell")
        self._on_message = on_message
        self._live: set[Any] = set()
        self._guard = threading.Lock()
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """``fn(*args, **kwargs, send=...)`` in a new process."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_child, args=(sender, fn, args, kwargs), name="tunebench cell", daemon=False)
        try:
            process.start()  # may wait for the fork server's imports; an interruption does not wait with it
        except (OSError, EOFError, pickle.PickleError) as error:
            raise CellCrashed(f"its process could not be started: {error}") from error
        with self._guard:
            self._live.add(process)
            if self._closed:
                process.kill()
        sender.close()
        try:
            while True:
                try:
                    kind, value = receiver.recv()
                except (EOFError, OSError, pickle.UnpicklingError):
                    process.join()
                    raise CellCrashed(_exit_reason(process.exitcode)) from None
                if kind == "done":
                    process.join()
                    return value
                if kind == "error":
                    process.join()
                    raise CellCrashed(value)
                self._on_message(value)
        finally:
            receiver.close()
            with self._guard:
                self._live.discard(process)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the interface says; and with `cancel_futures` every running process ends now."""
        if cancel_futures:
            with self._guard:
                self._closed = True
                for process in self._live:
                    process.kill()
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = " (out of memory? try --workers 1)" if -code == signal.SIGKILL else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with status {code} and no answer"


def _child(sender: Connection, fn: Callable[..., Any], args: tuple, kwargs: dict) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    threading.Thread(target=_die_with_parent, daemon=True).start()
    lock = threading.Lock()

    def send(message: dict) -> None:
        with lock, contextlib.suppress(BrokenPipeError):
            sender.send(("message", message))

    try:
        value = fn(*args, **kwargs, send=send)
    except Exception as error:  # noqa: BLE001 (a call that raises must still answer)
        sender.send(("error", f"{type(error).__name__}: {error}"))
    else:
        sender.send(("done", value))
    sender.close()


def _die_with_parent() -> None:
    """A killed run leaves no orphan training: the parent's sentinel is ready when the parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
