# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checks for the tests of their runner; a module, so that another process finds them."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from scenedino_ros.benchmark.gpu_run import Check, Found, SkippedError
from scenedino_ros.core.errors import InputError


def passes(plan: str) -> Iterator[Found]:
    yield Found("1 of 2", {"done": 1})
    yield Found(f"2 of 2 {plan}", {"done": 2, "process": os.getpid()})


def finds_a_problem(plan: str) -> Iterator[Found]:
    yield Found("IoU 0.1", {"IoU": 0.1}, "below 0.9")


def raises(plan: str) -> Iterator[Found]:
    yield Found("half", {"half": True})
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")


def refuses(plan: str) -> Iterator[Found]:
    raise InputError("precision must be float32, got 'int3'")
    yield


def skips(plan: str) -> Iterator[Found]:
    raise SkippedError("needs the repository")
    yield


def crashes(plan: str) -> Iterator[Found]:
    os.kill(os.getpid(), signal.SIGSEGV)
    yield


def hangs(plan: str) -> Iterator[Found]:
    """Never end; leave a file behind if the process is asked to end."""
    try:
        yield Found("at first", {"frames": 1})
        Path(plan, "hanging").touch()
        yield Found("so far", {"frames": 7})
        while True:
            time.sleep(0.01)
    finally:
        Path(plan, "cleaned").touch()


def hangs_silently(plan: str) -> Iterator[Found]:
    while True:
        time.sleep(0.01)
    yield


def prints(plan: str) -> Iterator[Found]:
    sys.stdout.write("chatter of a library\n")
    sys.stdout.flush()
    yield Found("printed")


def check(run: object, seconds: float = 20.0, *packages: str) -> Check:
    return Check(run.__name__, seconds, run, packages)
