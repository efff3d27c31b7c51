"""Tells on standard error how far a run is and how long it will take."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

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

Show = Callable[[int, Mapping[str, float]], None]


@contextmanager
def progress(first: int, steps: int, every: int) -> Iterator[Show]:
    """Show a bar with the time left while the block runs; plain lines without a terminal.

    Args:
        first: Steps that were done before.
        steps: Steps in all.
        every: Steps between two lines where there is no terminal.

    Yields:
        A function that takes the number of a finished step, counted from 0, and its values.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(first, steps, every)
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
        task = bar.add_task("", total=steps, completed=first)

        def show(step: int, values: Mapping[str, float]) -> None:
            bar.update(task, completed=step + 1, description=_words(values))

        yield show


def _lines(first: int, steps: int, every: int) -> Show:
    start = time.monotonic()

    def show(step: int, values: Mapping[str, float]) -> None:
        done = step + 1
        if done % every and done != steps:
            return
        left = (time.monotonic() - start) / (done - first) * (steps - done)
        words = f"step {done}/{steps}, {timedelta(seconds=round(left))} left, {_words(values)}"
        print(words, file=sys.stderr, flush=True)

    return show


def _words(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in values.items())
