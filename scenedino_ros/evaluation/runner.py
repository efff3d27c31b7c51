# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The one runner of all evaluations: counts what is left of a run, then writes its result.

A run is a folder, see `run_folder`. Workers of this process, or the ranks of ``torchrun``, share
its items, see `workers`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import files_digest
from scenedino_ros.core.reporting import Report, silent
from scenedino_ros.evaluation import workers as processes
from scenedino_ros.evaluation.result import RunResult, Summary, coverage, read_result, write_result
from scenedino_ros.evaluation.run_folder import Counts, RunFolder, begun_settings
from scenedino_ros.evaluation.settings import EvaluationSettings
from scenedino_ros.evaluation.speed import Stopwatch, speed_of
from scenedino_ros.evaluation.tiles import write_panels
from scenedino_ros.inference.network_choice import NetworkChoice


def _uncounted(done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class RunOptions:
    """Worker processes and callbacks; the result does not depend on them.

    Attributes:
        workers: Processes that share the items; None: one per GPU, else one per core. Under
            ``torchrun`` its ranks share them.
        report: Gets what is going on, in words.
        progress: Gets how many items are done, and how many there are.
    """

    workers: int | None = None
    report: Report = silent
    progress: Callable[[int, int], None] = _uncounted


class Counting(Protocol):
    """Items that are counted one by one; plain values, because worker processes get a copy."""

    @property
    def kind(self) -> str:
        """Which evaluation it is, in one word."""

    @property
    def network(self) -> NetworkChoice:
        """The network that predicts."""

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on."""

    def items(self) -> Sequence[str]:
        """Return the names of the frames, images or pairs, in order."""

    def files(self, item: str) -> Sequence[Path]:
        """Return the files that an item is counted from, whether or not they are there.

        What `settings` identifies, such as a frame store, may be left out.
        """

    def open(self, watch: Stopwatch) -> processes.Work:
        """Return what counts an item; called in the process that works.

        It reports to the stopwatch which part of its work is prediction.
        """


class Draws(processes.Work, Protocol):
    """What counts an item and can draw it."""

    def panel(self, item: str) -> np.ndarray:
        """Return an (H, W, 3) uint8 picture of an item."""


class Evaluation(Counting, Protocol):
    """Items that are counted, and the words of their report."""

    @property
    def title(self) -> str:
        """Heading of the report."""

    @property
    def dataset(self) -> str:
        """Name of the data."""

    @property
    def unit(self) -> str:
        """What an item is: frame, image or pair."""

    @property
    def choices(self) -> EvaluationSettings:
        """What the caller chose."""

    def unnamed(self) -> dict[str, str]:
        """Return items that the data lacks without a file that names them, with the reason."""

    def open(self, watch: Stopwatch) -> Draws:
        """Return what counts and draws an item."""


AnyEvaluation = TypeVar("AnyEvaluation", bound=Evaluation)


@dataclass(frozen=True, eq=False)
class Finished:
    """What a run has counted.

    Attributes:
        folder: The run.
        items: The items that are counted, in order; at least one.
        total: The sum of their counts.
        scope: How much of the data that is, such as ``PARTIAL: 12 of 2566 frames``.
    """

    folder: RunFolder
    items: Sequence[str]
    total: Counts
    scope: str


def run_evaluation(
    evaluation: AnyEvaluation,
    summarise: Callable[[AnyEvaluation, Finished], Summary],
    output: Path | str,
    run: RunOptions,
) -> RunResult:
    """Count the items that are not counted yet, and write the result of the run.

    Args:
        evaluation: What to count.
        summarise: Makes scores, tables and plots of the sums.
        output: Folder of the run. A run that was begun there with the same settings is resumed.
        run: Worker processes, and callbacks.

    Returns:
        The result, which lies in the folder, too.

    Raises:
        InputError: If the folder holds something else, or the data cannot be scored at all. An
            item whose file is missing or damaged is listed in the result instead.
        SceneDinoError: If the network cannot run.
    """
    output = Path(output)
    with processes.all_ranks():
        folder = count_items(evaluation, output, run)
        if processes.rank() == 0:
            write_result(output, _result(evaluation, summarise, folder, run.report))
        processes.wait_for_ranks()
        return read_result(output)


def count_items(counting: Counting, path: Path, run: RunOptions) -> RunFolder:
    """Count the items that are not counted yet, together with the other ranks.

    Args:
        counting: What to count.
        path: Folder of the run.
        run: Worker processes, and callbacks; only the first rank reports, about its own part.
    """
    items = counting.items()
    if processes.rank() == 0:
        begin_run(counting, path, items)
    processes.wait_for_ranks()
    folder = RunFolder(path, counting.kind, counting.settings())
    own = processes.own_part(items)
    done = len(own) - len(folder.unfinished(own))

    def count_one(item: str) -> None:
        nonlocal done
        done += 1
        if processes.rank() == 0:
            run.progress(done, len(own))

    processes.run_items(
        folder,
        items,
        counting.open,
        workers=run.workers or processes.default_workers(counting.network.device),
        done=count_one,
    )
    processes.wait_for_ranks()
    return folder


def begin_run(counting: Counting, path: Path, items: Sequence[str]) -> None:
    """Begin a run, or refuse a folder that holds one of other settings or data.

    Args:
        counting: What to count.
        path: Folder of the run.
        items: Its items.

    Raises:
        InputError: If the folder holds something else.
    """
    folder = RunFolder(path, counting.kind, counting.settings())
    folder.check_files({item: files_digest(counting.files(item)) for item in items})


def settled(network: NetworkChoice, output: Path | str, report: Report) -> NetworkChoice:
    """Return a choice whose engine and precision have names instead of ``auto``.

    They are those that the run was begun with, else the fastest ones by measurement.

    Raises:
        InputError: If they would have to be measured under ``torchrun``, by each rank for itself.
    """
    open_names = [name for name in ("engine", "precision") if getattr(network, name) == "auto"]
    if not open_names:
        return network
    if processes.is_rank():
        raise InputError(
            f"{open_names[0]} must be named under torchrun, where auto would measure in each"
        )
    begun = begun_settings(Path(output))
    if begun is not None:
        known = begun.get("network", {})
        names: dict[str, Any] = {name: known.get(name, "auto") for name in open_names}
        return replace(network, **names)
    report("measuring the engines")
    with processes.one_thread():
        return network.settled(report)


def _result(
    evaluation: AnyEvaluation,
    summarise: Callable[[AnyEvaluation, Finished], Summary],
    folder: RunFolder,
    report: Report,
) -> RunResult:
    items, unit = evaluation.items(), f"{evaluation.unit}s"
    missing = folder.missing(items)
    done = [item for item in items if item not in missing]
    missing |= evaluation.unnamed()
    expected = len(done) + len(missing)
    summary, total = Summary(), folder.total(done)
    if done:
        report("tables and plots")
        scope = coverage(len(done), expected, unit)
        summary = summarise(evaluation, Finished(folder, done, total, scope))
        if evaluation.choices.panels:
            report("drawing panels")
        panels = write_panels(
            folder.path,
            done,
            evaluation.choices.panels,
            evaluation.unit,
            lambda: evaluation.open(Stopwatch()).panel,
        )
        summary = replace(summary, figures=[*summary.figures, *panels])
    return RunResult(
        kind=evaluation.kind,
        title=evaluation.title,
        dataset=evaluation.dataset,
        checkpoint=evaluation.network.describe(),
        settings={**evaluation.settings(), **summary.settings},
        items=expected,
        unit=unit,
        missing=missing,
        tables=summary.tables,
        notes=summary.notes,
        figures=summary.figures,
        scores=summary.scores,
        counts=total,
        speed=speed_of(folder.times(done)),
    )
