# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What all ``scenedino evaluate`` commands share: their arguments, and how a run is shown."""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scenedino_ros.core.config import EVALUATION_FIT
from scenedino_ros.evaluation.settings import EvaluationSettings
from scenedino_ros.terminal.arguments import add_output, add_workers
from scenedino_ros.terminal.network_arguments import (
    add_checkpoint,
    add_fit,
    add_image_size,
    add_runtime,
    network_values,
)
from scenedino_ros.terminal.progress import counting, reporting

if TYPE_CHECKING:
    from scenedino_ros.evaluation.result import RunResult
    from scenedino_ros.evaluation.runner import RunOptions
    from scenedino_ros.inference.network_choice import NetworkChoice

_PRINTED = 2  # tables shown in the terminal; all are in the report

Settings = TypeVar("Settings", bound=EvaluationSettings)


def add_setting(group: argparse._ActionsContainer, settings: type, name: str, **more: Any) -> None:
    """Declare the option of a setting; its default, allowed values and help are the setting's.

    Args:
        group: Where.
        settings: Settings of an evaluation.
        name: Name of the setting; underscores become dashes.
        more: As for ``add_argument``; ``flag`` is another name of the option.
    """
    (item,) = (item for item in fields(settings) if item.name == name)
    doc, default = item.metadata["doc"], item.default
    flag = more.pop("flag", f"--{name.replace('_', '-')}")
    more.setdefault("help", doc[:1].lower() + doc[1:])
    if isinstance(default, bool):
        more["action"] = "store_false" if default else "store_true"
    elif isinstance(default, int | float | str):
        more["help"] += " (default: %(default)s)"
    if item.metadata["choices"]:
        more["choices"] = item.metadata["choices"]
    if more.get("action") == "append":
        default = None  # argparse would append to it
    group.add_argument(flag, dest=name, default=default, **more)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where a run lies, how it is shared, and how much of it is drawn."""
    group = parser.add_argument_group("run")
    add_output(group, "folder of the run; resumed if begun")
    add_workers(
        group,
        "processes (default: one per GPU, else per core; torchrun's ranks if it starts them)",
    )
    add_setting(group, EvaluationSettings, "panels", type=int, metavar="N")


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which network is evaluated."""
    group = parser.add_argument_group("network")
    add_checkpoint(group)
    add_image_size(group)
    add_runtime(group)
    add_fit(group, EVALUATION_FIT)


def chosen_settings(settings: type[Settings], options: argparse.Namespace) -> Settings:
    """Return the settings of an evaluation that the options choose.

    Raises:
        InputError: If a value is outside the range of its setting.
    """
    names = [item.name for item in fields(settings)]
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value  # of options that are repeated
        for name, value in vars(options).items()
        if name in names and value is not None
    }
    return settings(**chosen)


def run_and_print(
    evaluate: "Callable[[Path, Path, NetworkChoice, Settings, RunOptions], RunResult]",
    settings: type[Settings],
    options: argparse.Namespace,
) -> int:
    """Do what is left of a run, and print its tables.

    Args:
        evaluate: The function that evaluates, such as `evaluate_depth`.
        settings: Its settings, whose names are those of the options.
        options: The parsed arguments.

    Returns:
        0, or 1 if items are missing.
    """
    from scenedino_ros.evaluation.runner import RunOptions
    from scenedino_ros.evaluation.workers import rank
    from scenedino_ros.inference.network_choice import NetworkChoice

    with ExitStack() as stack:
        display = _Display(options.evaluation, stack)
        result = evaluate(
            options.data,
            options.output,
            NetworkChoice(**network_values(options)),
            chosen_settings(settings, options),
            RunOptions(options.workers, display.report, display.progress),
        )
    return 0 if rank() else _conclude(result, options.output)


class _Display:
    """Shows on standard error what is going on: words, or a bar while items are counted."""

    def __init__(self, what: str, stack: ExitStack) -> None:
        """Show nothing yet.

        Args:
            what: What is counted.
            stack: Ends what is shown.
        """
        self._what, self._stack = what, stack
        self._words: Callable[[str], None] | None = None
        self._bar: Callable[[int, int], None] | None = None

    def report(self, text: str) -> None:
        """Show words."""
        if self._words is None:
            self._stack.close()
            self._bar, self._words = None, self._stack.enter_context(reporting(text))
        self._words(text)

    def progress(self, done: int, total: int) -> None:
        """Show how many items are done."""
        if self._bar is None:
            self._stack.close()
            self._words, self._bar = None, self._stack.enter_context(counting(self._what))
        self._bar(done, total)


def _conclude(result: "RunResult", output: Path) -> int:
    from scenedino_ros.evaluation.result import (
        REPORT_FILE,
        missing_sentences,
        partial_warning,
        table_lines,
    )

    for table in result.tables[:_PRINTED]:
        print("\n".join([table.title, *table_lines(table), ""]))
    print("\n".join(f"{name}: {text}" for name, text in result.facts.items()))
    print(output / REPORT_FILE)
    if result.complete:
        return 0
    print("\n".join([partial_warning(result), *missing_sentences(result)]), file=sys.stderr)
    return 1
