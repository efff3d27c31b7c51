"""Tells on standard error what a long step is doing, so that standard output stays usable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def telling(first: str) -> Iterator[Callable[[str], None]]:
    """Show a changing line while the block runs; plain lines where there is no terminal.

    Args:
        first: Shown until something else is told.

    Yields:
        A function that is told what is going on now.
    """
    console = Console(stderr=True)

    def tell_line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield tell_line
        return
    with console.status(first) as status:
        yield lambda text: status.update(text.replace("[", r"\["))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left while the block runs; a line each tenth without a terminal.

    Args:
        what: What is counted.

    Yields:
        A function that is told how many are done, and how many there are in all.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        told = [0]

        def count_line(done: int, total: int) -> None:
            if done * 10 // total > told[0]:
                told[0] = done * 10 // total
                console.print(f"{what} {done} of {total}", markup=False, highlight=False)

        yield count_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
