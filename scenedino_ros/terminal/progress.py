# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reports on standard error what a long step is doing, so that standard output stays usable.

Every command takes its progress bar and its estimates of time from here.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from scenedino_ros.core.printable import printable

_FIRST_FEW = 5  # after which the time left is first reported
_LONG_SECONDS = 60.0
_WORTH_TRYING = 20  # items


@contextmanager
def reporting(first: str) -> Iterator[Callable[[str], None]]:
    """Show a changing line while the block runs; without a terminal, print a line for each change.

    Args:
        first: Shown until something else is reported.

    Yields:
        A function that takes what is going on now.
    """
    console = Console(stderr=True)

    def print_line(text: str) -> None:
        console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield print_line
        return
    with console.status(first) as status:
        yield lambda text: status.update(printable(text).replace("[", r"\["))


@contextmanager
def counting(what: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left while the block runs.

    Without a terminal, print a line each tenth; if it takes minutes, also one after the first few
    items with an estimate of the time.

    Args:
        what: What is counted, or done.
        unit: What it is done to, named after the numbers.

    Yields:
        A function that takes how many are done, and how many there are in all.
    """
    with counting_stages(what, unit) as report:
        yield lambda done, total: report(what, done, total)


@contextmanager
def counting_stages(first: str, unit: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """Show what `counting` shows, of work whose stages are counted one after the other.

    Args:
        first: Shown on a terminal until a stage is reported.
        unit: What is counted, named after the numbers.

    Yields:
        A function that takes the stage, how many are done, and how many there are in all; 0 in
        all: the stage cannot be counted.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        stages: dict[str, _CountedLines] = {}

        def print_line(what: str, done: int, total: int) -> None:
            line = stages.setdefault(what, _CountedLines(what, unit)).line(done, total)
            if line:
                console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield print_line
        return
    with _bar(console) as bars:
        task = bars.add_task(first, total=None)

        def update(what: str, done: int, total: int) -> None:
            if what != bars.tasks[0].description:
                bars.reset(task, description=what, total=None)
            bars.update(task, completed=done, total=total or None)

        yield update


def _bar(console: Console) -> Progress:
    """Return the bar that `counting` shows; it has no task yet.

    Args:
        console: Of standard error. Lines on standard output appear above the bar, unless they go
            to a file or a pipe.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )


def seconds_ahead(count: int, attempt: Callable[[range], object], *, few: int = 1) -> float:
    """Return about how many seconds items of one kind will take, by trying a few of them.

    They are taken from the middle, because the first ones may differ from the rest. As many before
    them are not timed: they load and prepare what the timed ones use.

    Args:
        count: How many items there are.
        attempt: Does the items of these numbers as they will be done, but keeps no result.
        few: How many are timed, such as those that will be done at the same time.

    Returns:
        The seconds; 0 for few items, where an estimate is not worth the time.
    """
    if count < _WORTH_TRYING:
        return 0.0
    few = max(min(few, count // 4), 1)
    first = count // 2
    attempt(range(first, first + few))
    start = time.monotonic()
    attempt(range(first + few, first + 2 * few))
    return (time.monotonic() - start) * count / few


def about(seconds: float) -> str:
    """Return ``, about 5.3 h`` for a line on the work to do; empty for 0."""
    return f", about {time_in_words(max(seconds, 1))}" if seconds else ""


def time_in_words(seconds: float) -> str:
    """Return a duration such as ``2.1 h``, ``35 min`` or ``12 s``."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class _CountedLines:
    """Decides when to report how far a step is, and how long the rest will take."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, f" {unit}" if unit else ""
        self._first: tuple[int, float] | None = None  # how many were done, and when
        self._reported = 0  # tenths
        self._estimated = False
        self._named = False

    def line(self, done: int, total: int) -> str:
        """Return what to report now; empty: nothing."""
        if total == 0:
            named, self._named = self._named, True
            return "" if named else self._what
        now = time.monotonic()
        if self._first is None:
            self._first = (done, now)
        new = done - self._first[0]
        left = (now - self._first[1]) * (total - done) / new if new else 0.0
        is_first = not self._estimated and new >= _FIRST_FEW and left > _LONG_SECONDS
        if is_first or done * 10 // total > self._reported:
            self._estimated = self._estimated or left > 0
            self._reported = done * 10 // total
            words = f", about {time_in_words(left)} left" if left >= 1 else ""
            words += f" at the rate of the first {new}" if is_first else ""
            return f"{self._what} {done} of {total}{self._unit}{words}"
        return ""


@contextmanager
def counting_steps(
    first: int, total: int, every: int
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Show a bar with the time left and the latest values while the steps of the block run.

    The bar stays when the block ends. Without a terminal, print a line every few steps and at the
    last one.

    Args:
        first: Steps that were done before.
        total: Steps in all.
        every: Steps between two lines where there is no terminal.

    Yields:
        A function that takes the number of a finished step, counted from 0, and its values by
        name.
    """
    console = Console(stderr=True)
    start = time.monotonic()

    def words(values: Mapping[str, float]) -> str:
        return " ".join(f"{name} {value:.4g}" for name, value in values.items())

    def print_line(step: int, values: Mapping[str, float]) -> None:
        done = step + 1
        if done % every == 0 or done == total:
            left = time_in_words((time.monotonic() - start) / (done - first) * (total - done))
            line = f"step {done}/{total}, {left} left, {words(values)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield print_line
        return
    columns = (
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task("", total=total, completed=first)
        yield lambda step, values: bar.update(task, completed=step + 1, description=words(values))
