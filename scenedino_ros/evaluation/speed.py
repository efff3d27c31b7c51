# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Speed of a run: the time of each item, and the rates of all of them."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch


class ItemTime(NamedTuple):
    """Time that one item took.

    Attributes:
        prediction: Seconds from its image on disk to the prediction, including writing it where
            predictions are kept; 0 where the prediction was read from a file.
        scoring: Seconds of everything else: reading labels or stored predictions, and counting.
        processes: How many processes worked at that time.
    """

    prediction: float
    scoring: float
    processes: int


class Stopwatch:
    """Separates the time of prediction from that of scoring, item by item."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        """Begin with an item.

        Args:
            now: Seconds since some moment.
        """
        self._now = now
        self.start()

    def start(self) -> None:
        """Begin with another item."""
        self._begin = self._now()
        self._prediction = self._pauses = 0.0

    def read(self) -> tuple[float, float]:
        """Return the seconds of prediction and of scoring since the item began."""
        whole = self._now() - self._begin
        return self._prediction, whole - self._prediction - self._pauses

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """Count the time inside as prediction."""
        begin = self._now()
        try:
            yield
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()  # include the work that is queued on the GPU
        finally:
            self._prediction += self._now() - begin

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Count the time inside as neither, such as building the network."""
        begin = self._now()
        try:
            yield
        finally:
            self._pauses += self._now() - begin


@dataclass(frozen=True)
class Speed:
    """Rates of one process, the mean of those that worked on a run.

    Attributes:
        prediction: Items predicted per second; None if all predictions were stored.
        scoring: Items scored per second, without their prediction.
        predicted: How many items were predicted.
        scored: How many were scored.
        processes: Fewest and most processes that worked at a time.
    """

    prediction: float | None
    scoring: float
    predicted: int
    scored: int
    processes: tuple[int, int]

    def line(self, unit: str) -> str:
        """Return the rates in words.

        Args:
            unit: What the items are called, plural.
        """
        fewest, most = self.processes
        workers = f"{most}" if fewest == most else f"{fewest} to {most}"
        each = "in one process" if most == 1 else f"in each of {workers} processes"
        scoring = f"{self.scoring:.3g} {unit}/s of scoring alone"
        if self.prediction is None:
            return f"{scoring}, {each}; no prediction, all were stored"
        part = "" if self.predicted == self.scored else f" (of {self.predicted} {unit})"
        return f"{self.prediction:.3g} {unit}/s of prediction{part}, {scoring}, {each}"


def speed_of(times: Iterable[ItemTime]) -> Speed | None:
    """Return the rates of finished items, None if there is none."""
    items = list(times)
    if not items:
        return None
    predicted = [item for item in items if item.prediction > 0]
    processes = [item.processes for item in items]
    return Speed(
        len(predicted) / sum(item.prediction for item in predicted) if predicted else None,
        len(items) / sum(item.scoring for item in items),
        len(predicted),
        len(items),
        (min(processes), max(processes)),
    )
