"""Tells on standard error what a long step is doing, so that standard output stays usable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


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
