"""What all ``scenedino evaluate`` commands share: their arguments, and how a run is shown."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scenedino_ros.core.config import EVALUATION_FIT
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_output, add_workers
from scenedino_ros.terminal.network_arguments import (
    add_checkpoint,
    add_fit,
    add_image_size,
    add_runtime,
    network_values,
)
from scenedino_ros.terminal.progress import telling

if TYPE_CHECKING:
    from scenedino_ros.evaluation.result import RunResult
    from scenedino_ros.evaluation.run_folder import Counts, RunFolder
    from scenedino_ros.evaluation.speed import Stopwatch
    from scenedino_ros.inference.network_choice import NetworkChoice

_PRINTED = 2  # tables shown in the terminal; all are in the report


class Work(Protocol):
    """Items that are counted one by one, as plain values that worker processes can be told."""

    @property
    def kind(self) -> str:
        """Which evaluation it is."""

    def settings(self) -> dict[str, object]:
        """Return all that the counts depend on."""

    def items(self) -> Sequence[str]:
        """Return the names of the frames, images or pairs, in order."""

    def open(self, watch: "Stopwatch") -> "Callable[[str], Counts]":
        """Return the function that counts one item; called in the process that works.

        It tells the stopwatch what of it is prediction.
        """


class Evaluation(Work, Protocol):
    """One evaluation: work that ends in a result."""

    def summarise(self, folder: "RunFolder", tell: Callable[[str], None]) -> "RunResult":
        """Return tables and figures of the items that are done; figures go into the folder."""


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where a run lies and how it is worked on."""
    group = parser.add_argument_group("run")
    add_output(group, "folder of the run; taken up if begun")
    add_workers(
        group,
        "processes (default: one per GPU, else per core; torchrun's ranks if it starts them)",
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which network is evaluated."""
    group = parser.add_argument_group("network")
    add_checkpoint(group)
    add_image_size(group)
    add_runtime(group)
    add_fit(group, EVALUATION_FIT)


def add_panel_argument(parser: argparse.ArgumentParser) -> None:
    """Declare how many single items are shown."""
    parser.add_argument(
        "--panels",
        type=int,
        choices=range(101),
        default=4,
        metavar="N",
        help="pictures of single items in the report (default: %(default)s)",
    )


def network_from(options: argparse.Namespace) -> "NetworkChoice":
    """Return the network the arguments describe, its engine settled.

    Raises:
        InputError: If the engine is to be measured by many processes, each for itself.
    """
    with telling("loading PyTorch"):
        from scenedino_ros.inference.network_choice import NetworkChoice

    return _settled(NetworkChoice(**network_values(options)), options.output)


def _settled(network: "NetworkChoice", output: Path) -> "NetworkChoice":
    """Settle what is ``auto``: as the run was begun, else what is fastest."""
    from scenedino_ros.evaluation import workers
    from scenedino_ros.evaluation.run_folder import begun_settings

    open_names = [name for name in ("engine", "precision") if getattr(network, name) == "auto"]
    if not open_names:
        return network
    if workers.is_rank():
        raise InputError(
            f"{open_names[0]} must be named under torchrun, where auto would measure in each"
        )
    begun = begun_settings(output)
    if begun is not None:
        known = begun.get("network", begun)
        chosen = {name: str(known.get(name)) for name in open_names}
        return replace(
            network,
            engine=chosen.get("engine", network.engine),
            precision=chosen.get("precision", network.precision),
        )
    with telling("measuring the engines") as tell, workers.one_thread():
        return network.settled(tell)


def run_evaluation(evaluation: Evaluation, options: argparse.Namespace) -> int:
    """Do what is left of a run, write its result and print its tables.

    Returns:
        0, or 1 if items are missing.
    """
    from scenedino_ros.evaluation import workers

    with workers.all_ranks():
        folder = work_on(evaluation, options.output, options)
        return 0 if workers.rank() else _conclude(evaluation, folder)


def work_on(evaluation: Work, path: Path, options: argparse.Namespace) -> "RunFolder":
    """Do what is left of a run, together with the other ranks, and return its folder."""
    from scenedino_ros.evaluation import workers
    from scenedino_ros.evaluation.run_folder import RunFolder

    items = evaluation.items()
    settings = evaluation.settings()
    if workers.rank() == 0:
        RunFolder(path, evaluation.kind, settings)
    workers.wait_for_ranks()
    folder = RunFolder(path, evaluation.kind, settings)
    with _bars(shown=workers.rank() == 0) as bars:
        share = workers.own_share(items)
        done = len(share) - len(folder.unfinished(share))
        task = bars.add_task(evaluation.kind, total=len(share), completed=done)
        workers.run_items(
            folder,
            items,
            evaluation.open,
            workers=options.workers or workers.default_workers(options.device),
            done=lambda _: bars.advance(task),
        )
    workers.wait_for_ranks()
    return folder


def _conclude(evaluation: Evaluation, folder: "RunFolder") -> int:
    from scenedino_ros.evaluation.result import (
        REPORT_FILE,
        missing_sentences,
        partial_warning,
        table_lines,
        write_result,
    )
    from scenedino_ros.evaluation.speed import speed_of

    with telling("tables and pictures") as tell:
        result = evaluation.summarise(folder, tell)
        result = replace(result, speed=speed_of(folder.times(evaluation.items())))
        write_result(folder.path, result)
    for table in result.tables[:_PRINTED]:
        print("\n".join([table.title, *table_lines(table), ""]))
    print("\n".join(f"{name}: {text}" for name, text in result.facts.items()))
    print(folder.path / REPORT_FILE)
    if result.complete:
        return 0
    print("\n".join([partial_warning(result), *missing_sentences(result)]), file=sys.stderr)
    return 1


def _bars(*, shown: bool) -> Progress:
    # Where results go to a pipe, rich must not draw them among its bars.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        disable=not shown,
    )
