# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Plots of reports, drawn without a window."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.metrics import class_iou

_DPI = 110


def bar_plot(
    path: Path, names: Sequence[str], series: Mapping[str, ArrayLike], *, unit: str
) -> None:
    """Write groups of bars, one group per name and one bar in it per series.

    Args:
        path: PNG file to write.
        names: N names.
        series: N values each, by the series' name.
        unit: Label of the values' axis.
    """
    figure, axes = _figure(10.0, 4.0)
    places, width = np.arange(len(names)), 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * width
        axes.bar(places + offset, values, width, label=name)
    axes.set_xticks(places, names, rotation=40, ha="right")
    axes.set_ylabel(unit)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    write_figure(figure, path)


def line_plot(
    path: Path,
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
) -> None:
    """Write lines through points.

    Args:
        path: PNG file to write.
        series: x and y values by the series' name; points that are not numbers are left out.
        x_label: What x is, with its unit.
        y_label: What y is, with its unit.
        logarithmic: Whether x is drawn over its logarithm.
    """
    figure, axes = _figure(7.0, 4.0)
    for name, (x, y) in series.items():
        axes.plot(x, y, marker="o", markersize=4, label=name)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if all(np.nanmin(np.asarray(y, float), initial=0) >= 0 for _, y in series.values()):
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    write_figure(figure, path)


def confusion_plot(path: Path, confusion: np.ndarray, names: Sequence[str], *, title: str) -> None:
    """Write a confusion matrix, each row in percent of its sum.

    Args:
        path: PNG file to write.
        confusion: (L, L) counts, row = target, column = prediction.
        names: L class names.
        title: Line above it.
    """
    total = confusion.sum(axis=1, keepdims=True)
    share = 100 * confusion / np.maximum(total, 1)
    figure, axes = _figure(8.0, 7.0)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    ticks = np.arange(len(names))
    axes.set_xticks(ticks, names, rotation=55, ha="right")
    axes.set_yticks(
        ticks, [n if t else f"{n} (absent)" for n, t in zip(names, total, strict=True)]
    )
    for row, column in zip(*np.nonzero(share >= 1), strict=True):
        color = "white" if share[row, column] > 55 else "black"
        text = f"{share[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    axes.set_xlabel("predicted")
    axes.set_ylabel("ground truth")
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, ax=axes, label="% of the row", shrink=0.8)
    write_figure(figure, path)


def class_figures(path: Path, scored: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Write the IoU of each Cityscapes class, and the confusion of the first entry.

    Args:
        path: Folder.
        scored: (19, 19) confusions by name.

    Returns:
        File and caption of each plot.
    """
    names = CITYSCAPES19.names
    bars = {name: (100 * class_iou(confusion)).tolist() for name, confusion in scored.items()}
    bar_plot(path / "class_iou.png", names, bars, unit="IoU, %")
    first, confusion = next(iter(scored.items()))
    confusion_plot(path / "confusion.png", confusion, names, title=first)
    return [
        ("class_iou.png", "IoU of each class"),
        ("confusion.png", f"Confusion, {first}, in percent of the class"),
    ]


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    write_atomically(path, content.getvalue())
