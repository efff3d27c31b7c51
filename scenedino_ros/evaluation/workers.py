# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Shares the items of a run among processes: workers of this one, or ranks of ``torchrun``.

On a CPU every process computes with one thread, however many cores there are: the number of
threads changes the last digit of some sums, and with it a count. So the counts do not depend on
the number of workers.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from multiprocessing.synchronize import Event
from typing import Protocol

import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.spawning import WorkerContext
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.speed import ItemTime, Stopwatch


class Work(Protocol):
    """What counts items, in the process that holds the network."""

    def count(self, item: str) -> Counts:
        """Return the counts of an item.

        Raises:
            InputError: If a file of the item is missing or damaged.
        """


# Makes what counts items, and reports to the stopwatch what is prediction. It is called in the
# process that does the work, so it must be picklable: a function of a module, or a bound method
# of a plain dataclass.
OpenWork = Callable[[Stopwatch], Work]

_PATIENCE = timedelta(days=7)  # how long finished ranks wait for the others


def default_workers(device: str) -> int:
    """Return one worker per GPU where those are used, else one per core."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0))


def is_rank() -> bool:
    """Return whether ``torchrun`` started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """Return which of the processes of ``torchrun`` this is; 0 without it."""
    return int(os.environ["RANK"]) if is_rank() else 0


def own_part(items: Sequence[str]) -> Sequence[str]:
    """Return the items of this process and its workers: without ``torchrun``, all items."""
    # By place in the whole list: the list of unfinished items changes while ranks begin.
    return items[rank() :: int(os.environ["WORLD_SIZE"])] if is_rank() else items


@contextmanager
def all_ranks() -> Iterator[None]:
    """Join the processes of ``torchrun``, if it started this one, for the length of a run.

    A process that has joined them already, for an earlier step of the run, does nothing.
    """
    if not is_rank() or torch.distributed.is_initialized():
        yield
        return
    torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def wait_for_ranks() -> None:
    """Wait until every process of ``torchrun`` has reached this point."""
    if is_rank():
        torch.distributed.barrier()


def run_items(
    folder: RunFolder,
    items: Sequence[str],
    open_work: OpenWork,
    *,
    workers: int,
    done: Callable[[str], None],
) -> None:
    """Do the unfinished items of a run and keep their counts.

    If an item raises `InputError`, because a file is missing or damaged, its sentence is kept and
    the other items are done. Any other error ends the run.

    Args:
        folder: Where counts and failures are kept.
        items: All items of the run.
        open_work: Makes what counts an item.
        workers: Processes that share the items; under ``torchrun`` its ranks share them instead.
        done: Gets the name of each item that is finished or failed.
    """
    processes = workers
    if is_rank():
        workers, processes = 1, int(os.environ["WORLD_SIZE"])
        _use_device(int(os.environ["LOCAL_RANK"]))
    todo = folder.unfinished(own_part(items))
    if not todo:
        return
    if workers == 1:
        with one_thread():
            doer = _Doer(folder, open_work, processes)
            for item in todo:
                doer.do(item)
                done(item)
        return
    _share(folder, todo, open_work, min(workers, len(todo)), done)


class _Doer:
    """Does items in the process that it is made in."""

    def __init__(self, folder: RunFolder, open_work: OpenWork, processes: int) -> None:
        self._folder, self._processes = folder, processes
        self._watch = Stopwatch()
        self._work = open_work(self._watch)

    def do(self, item: str) -> None:
        self._watch.start()
        try:
            counts = self._work.count(item)
        except InputError as error:
            self._folder.fail(item, str(error))
        else:
            time = ItemTime(*self._watch.read(), self._processes)
            self._folder.finish(item, counts, time)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as everything that is counted."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _use_device(number: int) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def _share(
    folder: RunFolder,
    todo: Sequence[str],
    open_work: OpenWork,
    workers: int,
    done: Callable[[str], None],
) -> None:
    context = WorkerContext()
    numbers, stopped = context.Queue(), context.Event()
    for number in range(workers):
        numbers.put(number)
    arguments = (folder, open_work, workers, numbers, stopped)
    pool = ProcessPoolExecutor(workers, context, _begin_worker, arguments)
    try:
        with _interrupts_held():
            futures: dict[Future[None], str] = {pool.submit(_work_on, item): item for item in todo}
        for future in as_completed(futures):
            future.result()
            done(futures[future])
    finally:
        # Stopped or failed: items in work are finished and kept, the others are left.
        stopped.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends; processes that are started in it never get it.

    They inherit the mask before they run any Python, which would end with a traceback.
    """
    came = threading.Event()
    # Another thread may take the signal, and Python raise it here, between a process and its pool.
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda *_: came.set()) if is_main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if is_main:
            signal.signal(signal.SIGINT, handler)
    if came.is_set():
        signal.raise_signal(signal.SIGINT)


class _Worker:
    """State of a worker process; it opens its work with its first item."""

    open: Callable[[], _Doer]
    stopped: Event
    doer: _Doer | None = None


def _begin_worker(
    folder: RunFolder,
    open_work: OpenWork,
    processes: int,
    numbers: "multiprocessing.Queue[int]",
    stopped: Event,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    torch.set_num_threads(1)
    _use_device(numbers.get())
    _Worker.open = partial(_Doer, folder, open_work, processes)
    _Worker.stopped = stopped


def _work_on(item: str) -> None:
    if _Worker.stopped.is_set():
        return
    # Opened here and not at the beginning: an error then reaches the parent as it is.
    if _Worker.doer is None:
        _Worker.doer = _Worker.open()
    _Worker.doer.do(item)
