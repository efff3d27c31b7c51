# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Loads batches ahead in threads, so that the network does not wait for the disk."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def prefetch(
    make_batch: Callable[[int], T], steps: Iterable[int], *, workers: int, depth: int
) -> Iterator[Iterator[tuple[int, T]]]:
    """Load the batches of some steps ahead of their use, and yield them in order.

    Threads suffice: reading mapped files and NumPy release the lock of the interpreter.

    Args:
        make_batch: Makes the batch of a step; called in several threads at once.
        steps: Numbers of the steps, in the order they are wanted.
        workers: Number of threads.
        depth: Most batches that are ready or being made at one time.

    Yields:
        An iterator over pairs of step and batch. What `make_batch` raises, it raises at that
        batch's turn. When the block ends, early or not, no thread is left.
    """
    executor = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        yield in_order(executor, make_batch, iter(steps), depth)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def in_order(
    executor: Executor, make_batch: Callable[[int], T], steps: Iterator[int], depth: int
) -> Iterator[tuple[int, T]]:
    """Yield pairs of step and batch in the order of the steps.

    Args:
        executor: Makes batches.
        make_batch: Makes the batch of a step.
        steps: Numbers of the steps.
        depth: Most batches that are ready or being made at one time.
    """
    waiting: deque[tuple[int, Future[T]]] = deque()
    for step in steps:
        waiting.append((step, executor.submit(make_batch, step)))
        if len(waiting) == depth:
            yield _next(waiting)
    while waiting:
        yield _next(waiting)


def _next(waiting: deque[tuple[int, Future[T]]]) -> tuple[int, T]:
    step, future = waiting.popleft()
    return step, future.result()
