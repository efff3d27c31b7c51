# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Declares subcommands, each in a module of its own; a subcommand may have further ones."""

import argparse
import importlib
from collections.abc import Sequence
from typing import NamedTuple


class Subcommand(NamedTuple):
    """One subcommand.

    Attributes:
        name: What the user types.
        summary: One line for the help of what it belongs to.
        module: Has ``add_arguments(parser)`` and, unless that adds subcommands in its turn,
            ``run(arguments) -> int``; its docstring is the subcommand's description.
    """

    name: str
    summary: str
    module: str


def add_subcommands(
    parser: argparse.ArgumentParser,
    entries: Sequence[Subcommand],
    *,
    dest: str,
    metavar: str,
    chosen: str | None = None,
) -> None:
    """Declare subcommands; the parsed options then have the chosen one's ``run``.

    Args:
        parser: What they belong to.
        entries: The subcommands.
        dest: Name under which the options hold the chosen one's name.
        metavar: What help calls the choice.
        chosen: The only one whose module is imported and gets its arguments; None: all.
    """
    choices = parser.add_subparsers(dest=dest, metavar=metavar, required=True)
    for entry in entries:
        subparser = choices.add_parser(
            entry.name,
            help=entry.summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if chosen in (None, entry.name):
            module = importlib.import_module(entry.module)
            subparser.description = module.__doc__
            module.add_arguments(subparser)
            if hasattr(module, "run"):
                subparser.set_defaults(run=module.run)
