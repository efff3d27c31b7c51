# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs checks one after the other in a process of their own, each within its time.

A check that raises, crashes its process or does not end becomes a line of the result, and the next
check runs in a new process: after an error on a GPU, a process can often not use it any more.
"""

import importlib.util
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.spawning import WorkerContext

PASSED, FAILED, SKIPPED = "PASSED", "FAILED", "SKIPPED"
_LOADING = 120.0  # seconds that a process gets to load PyTorch
_PATIENCE = 10.0  # seconds that a process gets to end its own children


class SkippedError(SceneDinoError):
    """A check cannot be made here; the sentence says why."""


@dataclass(frozen=True)
class Found:
    """What a check has found so far.

    Attributes:
        line: Its figure in a few words.
        figures: Plain values.
        problem: Why the check fails; empty: it passes.
    """

    line: str
    figures: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: What is checked.
        seconds: Its part of the time. Time that earlier checks did not use is added.
        run: Takes the plan and yields what it has found so far, the last time at its end. It and
            the plan travel to another process.
        packages: Python packages without which it is skipped.
    """

    name: str
    seconds: float
    run: Callable[[Any], Iterator[Found]]
    packages: tuple[str, ...] = ()

    def missing(self) -> str:
        """Return why the check cannot run here, as far as its packages say; empty: it can."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return f"needs the Python package {absent[0]}, which is not installed" if absent else ""


@dataclass(frozen=True)
class Outcome:
    """How a check went.

    Attributes:
        name: The check.
        verdict: PASSED, FAILED or SKIPPED.
        line: Its figure, or why it failed or was skipped.
        seconds: How long it took.
        figures: Plain values.
    """

    name: str
    verdict: str
    line: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        return asdict(self)


def run_checks(
    checks: Sequence[Check], plan: Any, seconds: float, log: Path, done: Callable[[Outcome], None]
) -> None:
    """Run checks in turn.

    Args:
        checks: The checks.
        plan: What each gets.
        seconds: Time of all of them; each may use its part of it, and what was left before. A
            process that is started anew after a failure loads its modules in addition.
        log: Gets what they print, and tracebacks.
        done: Called with the outcome of each.

    Raises:
        KeyboardInterrupt: After Ctrl-C; the check that ran then has its outcome, too.
    """
    scale = seconds / sum(check.seconds for check in checks)
    deadline = time.monotonic()
    worker = _Worker(log)
    try:
        for check in checks:
            part = scale * check.seconds
            deadline += part
            if reason := check.missing():
                done(Outcome(check.name, SKIPPED, reason, 0.0))
                continue
            outcome = worker.run(check, plan, deadline, part)
            done(outcome)
            if worker.interrupted:
                raise KeyboardInterrupt
    finally:
        worker.stop()


class _Worker:
    """A process that runs checks; a new one after each that failed."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: Any = None
        self._connection: Connection | None = None
        self.interrupted = False

    def run(self, check: Check, plan: Any, deadline: float, least: float) -> Outcome:
        """Run a check.

        Args:
            check: The check.
            plan: What it gets.
            deadline: When it is cut, by the monotonic clock.
            least: Seconds that it has in any case, once its process has loaded its modules.
        """
        start, found, cut = time.monotonic(), None, ""
        until = start + _LOADING
        try:
            connection = self._started()
            connection.send((check, plan))
            while connection.poll(max(0.0, until - time.monotonic())):
                kind, answer = connection.recv()
                if kind == "loaded":
                    until = max(deadline, time.monotonic() + least)
                    continue
                if kind == "found":
                    found = answer
                    continue
                if kind == FAILED:
                    self.stop()
                if kind in (FAILED, SKIPPED):
                    return self._outcome(check, kind, answer, start, found)
                break
            else:
                cut = f"cut after {time.monotonic() - start:.0f} s"
        except (EOFError, ConnectionError):  # the process has ended
            self._process.join()
            ended = _ended(self._process.exitcode)
            self.stop()
            return self._outcome(check, FAILED, ended, start, found)
        except KeyboardInterrupt:
            self.interrupted, cut = True, "stopped"
        if cut:
            self.stop()
        if found is None:
            verdict = SKIPPED if self.interrupted else FAILED
            return self._outcome(check, verdict, f"{cut or 'ended'} without a figure", start, None)
        line = "; ".join(filter(None, (found.problem, found.line, cut)))
        return self._outcome(check, FAILED if found.problem else PASSED, line, start, found)

    @staticmethod
    def _outcome(
        check: Check, verdict: str, line: str, start: float, found: Found | None
    ) -> Outcome:
        figures = found.figures if found else {}
        return Outcome(check.name, verdict, line, time.monotonic() - start, figures)

    def _started(self) -> Connection:
        if self._connection is None:
            context = WorkerContext()
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(theirs, self._log), daemon=True)
            self._process.start()
            theirs.close()
        return self._connection

    def stop(self) -> None:
        """End the process and let it end its children."""
        if self._connection is None:
            return
        self._connection.close()
        self._connection = None
        self._process.terminate()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(connection: Connection, log: Path) -> None:
    """Run the checks that come, one at a time, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, _leave)  # so that blocks that end children run
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(target, 1)
    os.dup2(target, 2)
    while True:
        try:
            check, plan = connection.recv()
        except EOFError:
            return
        connection.send(("loaded", ""))
        os.write(2, f"--- {check.name}\n".encode())
        connection.send(_run_one(check, plan, connection))


def _run_one(check: Check, plan: Any, connection: Connection) -> tuple[str, str]:
    try:
        for found in check.run(plan):
            connection.send(("found", found))
    except SkippedError as error:
        return SKIPPED, str(error)
    except Exception as error:  # any library may raise anything; the next check runs
        os.write(2, traceback.format_exc().encode())
        return FAILED, _sentence(error)
    return "done", ""


def _sentence(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, SceneDinoError) and first:
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _ended(code: int) -> str:
    how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return f"its process ended ({how}); see the log"


def _leave(number: int, frame: object) -> None:
    raise SystemExit(1)
