"""Shares the items of a run among processes: workers of this one, or ranks of ``torchrun``.

On a CPU every process computes with one thread, however many there are: the number of threads
would change the last digit of a sum here and there, and with it a count. So all numbers of
workers give the same counts.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from multiprocessing.synchronize import Event

import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.spawning import WorkerContext
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.speed import ItemTime, Stopwatch

Work = Callable[[str], Counts]
# Makes the function that does one item, and tells the stopwatch what it predicts. It is called in
# the process that does the work, so it must be picklable: a function of a module, or a bound
# method of a plain dataclass.
OpenWork = Callable[[Stopwatch], Work]

_PATIENCE = timedelta(days=7)  # how long ranks that are done wait for the others


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


def own_share(items: Sequence[str]) -> Sequence[str]:
    """Return the items that this process, or its workers, are to do: all without ``torchrun``."""
    # By place in the whole list, not in what is left, which changes while ranks begin.
    return items[rank() :: int(os.environ["WORLD_SIZE"])] if is_rank() else items


@contextmanager
def all_ranks() -> Iterator[None]:
    """Join the processes of ``torchrun``, if it started this one, for the length of a run.

    Inside a run of several steps, which has joined them already, nothing is done.
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
    """Wait until every process of ``torchrun`` has come here."""
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

    An item that raises `InputError` (a file is missing or damaged) is noted and the others are
    done; any other error ends the run.

    Args:
        folder: Where counts and failures are kept.
        items: All items of the run.
        open_work: Makes the function that does one item.
        workers: Processes to share the items among; under ``torchrun`` its ranks do instead.
        done: Told the name of each item that is finished or failed.
    """
    processes = workers
    if is_rank():
        workers, processes = 1, int(os.environ["WORLD_SIZE"])
        _use_device(int(os.environ["LOCAL_RANK"]))
    todo = folder.unfinished(own_share(items))
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
            counts = self._work(item)
        except InputError as error:
            self._folder.fail(item, str(error))
        else:
            time = ItemTime(*self._watch.read(), self._processes)
            self._folder.finish(item, counts, time)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as all that is counted is."""
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
    told = (folder, open_work, workers, numbers, stopped)
    pool = ProcessPoolExecutor(workers, context, _begin_worker, told)
    try:
        futures: dict[Future[None], str] = {pool.submit(_work_on, item): item for item in todo}
        for future in as_completed(futures):
            future.result()
            done(futures[future])
    finally:
        # Stopped or failed: what is being worked on is finished and kept, the rest is left.
        stopped.set()
        pool.shutdown(cancel_futures=True)


class _Worker:
    """What a worker process was told when it began; its work is opened with its first item."""

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
