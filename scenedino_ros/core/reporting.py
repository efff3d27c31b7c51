"""How long work reports what it does: a function that takes a few words on each step."""

from collections.abc import Callable

Report = Callable[[str], None]


def silent(text: str) -> None:
    """Report nothing."""
