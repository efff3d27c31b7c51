# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Prints tables without cutting anything off, because users copy names out of them."""

from rich.console import Console
from rich.table import Table

_MOST = 10_000  # columns


def print_whole(table: Table) -> None:
    """Print a table at the width it needs, whatever that of the terminal is.

    A terminal breaks long lines itself, without putting a line's end into a name.

    Args:
        table: Columns that must not be broken have ``no_wrap``.
    """
    console = Console(highlight=False, markup=False)
    needed = console.measure(table, options=console.options.update(max_width=_MOST)).maximum
    console.width = max(console.width, needed)
    console.print(table)
