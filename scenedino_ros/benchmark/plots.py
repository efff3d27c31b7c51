# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Plots of what was measured, beside the tables."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenedino_ros.benchmark.stages import STAGES, VARIANTS
from scenedino_ros.viewing.plots import write_figure

_COLORS = {"plain": "tab:gray", "folded": "tab:blue"}
_MEMORY = "peak memory [MiB]"
_TOTAL = "stamp to publish"


def plot_network(path: Path, figures: dict[str, Any]) -> None:
    """Write time per stage and memory of both networks, the figures of `measure_network`."""
    results = figures["results"]
    rows = [row for row in (*STAGES, "frame") if f"{row} p50 [ms]" in results["plain"]]
    figure = Figure(figsize=(10.0, 4.0), layout="constrained")
    time, memory = figure.subplots(1, 2, width_ratios=(3, 1))
    bars = {v: [results[v][f"{row} p50 [ms]"] for row in rows] for v in VARIANTS}
    tops = {v: [results[v][f"{row} p95 [ms]"] for row in rows] for v in VARIANTS}
    _bars(time, rows, bars, tops)
    _logarithmic(time)
    time.set_ylabel("p50, whisker p95 [ms]")
    time.legend(frameon=False)
    _bars(memory, ["peak memory"], {v: [results[v][_MEMORY]] for v in VARIANTS})
    memory.set_ylabel("MiB")
    height, width = figures["image size"]
    figure.suptitle(
        f"{figures['backbone']}, {width} x {height} px, grid {figures['job']['grid']}, "
        f"{figures['machine']['device']}",
        fontsize=11,
    )
    write_figure(figure, path)


def plot_curves(path: Path, figures: dict[str, Any]) -> None:
    """Write the cost over voxels and over image size, the figures of `measure_curves`."""
    figure = Figure(figsize=(11.0, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    voxels, pixels = figures["over voxels"], figures["over image size"]
    _curve(panels[0], voxels, [point["voxels"] for point in voxels])
    panels[0].set_xlabel("voxels of the grid")
    panels[0].set_ylabel("p50 [ms]")
    panels[0].legend(frameon=False)
    _curve(panels[1], pixels, [int(np.prod(point["image size"])) for point in pixels])
    panels[1].set_xlabel("pixels of the network input image")
    figure.suptitle(f"{figures['backbone']}, {figures['machine']['device']}", fontsize=11)
    write_figure(figure, path)


def plot_node(path: Path, figures: dict[str, Any]) -> None:
    """Write stages, latency and drops per camera rate, the figures of `measure_node`."""
    runs = figures["runs"]
    names = [f"{run['rate_hz']:g} Hz" for run in runs]
    figure = Figure(figsize=(11.0, 1.8 + 0.7 * len(runs)), layout="constrained")
    stages, outcome = figure.subplots(1, 2, width_ratios=(2, 1), sharey=True)
    shown = {stage: [run["latency_ms"].get(stage, {}) for run in runs] for stage in _stages(runs)}
    _stack(stages, names, {s: [v.get("p50", 0.0) for v in shown[s]] for s in shown})
    stages.invert_yaxis()
    for percentile, color in (("p50", "black"), ("p95", "tab:red")):
        totals = [run["latency_ms"].get(_TOTAL, {}).get(percentile, np.nan) for run in runs]
        label = f"{_TOTAL} {percentile}"
        stages.plot(totals, names, "|", color=color, ms=13, mew=2, label=label)
    stages.set_xlabel("p50 of each stage [ms]")
    stages.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    images = [run["images"] for run in runs]
    counts = {
        "processed": [counted["processed"] for counted in images],
        "dropped": [sum(run["drops"].values()) for run in runs],
        "never arrived": [
            run["images"]["played"] - run["images"]["arrived_at_node"] for run in runs
        ],
    }
    _stack(outcome, names, counts)
    outcome.set_xlabel("images")
    outcome.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    write_figure(figure, path)


def plot_messages(path: Path, figures: dict[str, Any]) -> None:
    """Write fast and ordinary ways beside the targets, the figures of `measure_messages`."""
    rows = figures["messages"]
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    names = [row["what"] for row in rows]
    ways = {"ordinary": "ordinary", "fast": "as the node does it"}
    bars = {ways[way]: [row[way]["p50 [ms]"] for row in rows] for way in ways}
    tops = {ways[way]: [row[way]["p95 [ms]"] for row in rows] for way in ways}
    _bars(axes, names, bars, tops)
    for place, row in enumerate(rows):
        if row["target [ms]"] is not None:
            label = "_" if place else "target"  # an underscore keeps it out of the legend
            axes.hlines(
                row["target [ms]"], place - 0.45, place + 0.45, "tab:red", "dashed", label=label
            )
    _logarithmic(axes)
    axes.set_ylabel("p50, whisker p95 [ms]")
    axes.legend(frameon=False)
    write_figure(figure, path)


def _stages(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the stages that follow each other within a frame, in their order."""
    found = dict.fromkeys(stage for run in runs for stage in run["latency_ms"])
    return [stage for stage in found if " to publish" not in stage]


def _bars(
    axes: Axes,
    names: Sequence[str],
    bars: Mapping[str, Sequence[float]],
    tops: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Draw groups of bars with their values above them, and whiskers up to the tops."""
    places, width = np.arange(len(names)), 0.8 / len(bars)
    for number, (name, values) in enumerate(bars.items()):
        offset = (number - (len(bars) - 1) / 2) * width
        color = _COLORS.get(name, list(_COLORS.values())[number])
        drawn = axes.bar(places + offset, values, width * 0.95, label=name, color=color)
        if tops is not None:
            reach = np.maximum(np.subtract(tops[name], values), 0)
            whiskers = np.stack([np.zeros(len(reach)), reach])
            axes.errorbar(
                places + offset, values, whiskers, fmt="none", ecolor="black", capsize=3, lw=1
            )
        axes.bar_label(drawn, fmt=_short, fontsize=8, label_type="center", color="white")
    axes.set_xticks(places, [textwrap.fill(name, 30) for name in names])
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _logarithmic(axes: Axes) -> None:
    """Draw bars over a logarithmic axis that begins well below the lowest."""
    axes.set_yscale("log")
    axes.set_ylim(bottom=axes.dataLim.minposy / 4)


def _short(value: float) -> str:
    """Return a number with three digits, or all of those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _curve(axes: Axes, points: Sequence[Mapping[str, Any]], x: Sequence[int]) -> None:
    """Draw the p50 of both stages of a frame for both networks; a gap where one was left out."""
    for variant in VARIANTS:
        for stage, style in (("encode", "--"), ("voxels", "-")):
            row = f"{stage} p50 [ms]"
            y = [point[variant][row] if point[variant] else np.nan for point in points]
            axes.plot(
                x, y, style, marker="o", ms=4, color=_COLORS[variant], label=f"{variant}: {stage}"
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(which="both", alpha=0.3)


def _stack(axes: Axes, names: Sequence[str], parts: Mapping[str, Sequence[float]]) -> None:
    """Draw one horizontal bar per name, made of parts."""
    left = np.zeros(len(names))
    for name, values in parts.items():
        axes.barh(names, values, left=left, label=name, height=0.6)
        left += values
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
