# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Plots of what was measured, beside the tables."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenedino_ros.benchmark.stages import BFLOAT16, STAGES, VARIANTS
from scenedino_ros.viewing.plots import write_figure

_COLORS = {"plain": "tab:gray", "folded": "tab:blue", BFLOAT16: "tab:orange"}
_BOUND_COLOR = "tab:red"
_MEMORY = "peak memory [MiB]"
# What changes along a curve: label of the axis, and the value at a point.
_AXES: dict[str, tuple[str, Callable[[Mapping[str, Any]], float]]] = {
    "over voxels": ("voxels of the grid", lambda point: point["voxels"]),
    "over image size": (
        "network input image [px]",
        lambda point: point["image size"][0] * point["image size"][1],
    ),
    "over occupied fraction": (
        "occupied voxels [% of those in view]",
        lambda point: 100 * point["share"],
    ),
    "over cameras": ("cameras that take turns", lambda point: point["cameras"]),
}
_TOTAL = "stamp to publish"


def plot_network(path: Path, figures: dict[str, Any]) -> None:
    """Write time per stage, memory and rooflines, the figures of `measure_network`."""
    results = figures["results"]
    variants = list(results)
    rows = [row for row in (*STAGES, "frame") if f"{row} p50 [ms]" in results["plain"]]
    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    places = figure.add_gridspec(2, 4)
    time, memory = figure.add_subplot(places[0, :3]), figure.add_subplot(places[0, 3])
    bars = {v: [results[v][f"{row} p50 [ms]"] for row in rows] for v in variants}
    tops = {v: [results[v][f"{row} p95 [ms]"] for row in rows] for v in variants}
    _bars(time, rows, bars, tops)
    _logarithmic(time)
    time.set_ylabel("p50, whisker p95 [ms]")
    time.legend(frameon=False)
    _bars(memory, ["peak memory"], {v: [results[v][_MEMORY]] for v in variants})
    memory.set_ylabel("MiB")
    _parts(figure.add_subplot(places[1, :]), figures["roofline"])
    height, width = figures["image size"]
    figure.suptitle(
        f"{figures['backbone']}, {width} x {height} px, grid {figures['job']['grid']}, "
        f"{figures['machine']['device']}",
        fontsize=11,
    )
    write_figure(figure, path)


def _parts(axes: Axes, rooflines: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the p50 of each part, with a line at its bound, for each folded network."""
    first = next(iter(rooflines.values()))
    names = [f"{row['stage']}: {row['part'] or 'all'}" for row in first]
    width = 0.8 / len(rooflines)
    for number, (variant, rows) in enumerate(rooflines.items()):
        places = np.arange(len(rows)) + (number - (len(rooflines) - 1) / 2) * width
        p50 = [row["p50 [ms]"] or np.nan for row in rows]
        bounds = [row["bound [ms]"] or np.nan for row in rows]
        axes.bar(places, p50, width * 0.95, color=_COLORS[variant], label=f"{variant}: p50")
        ends = places - width / 2, places + width / 2
        label = "_" if number else "bound"  # an underscore keeps it out of the legend
        axes.hlines(bounds, *ends, _BOUND_COLOR, lw=2.5, label=label)
    axes.set_xticks(np.arange(len(names)), names, rotation=25, ha="right")
    axes.set_yscale("log")
    axes.set_ylabel("ms")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, ncols=3)


def plot_curves(path: Path, figures: dict[str, Any]) -> None:
    """Write the cost over all that changes it, the figures of `measure_curves`."""
    figure = Figure(figsize=(11.0, 8.4), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True)
    for axes, (curve, (label, value)) in zip(panels.flat, _AXES.items(), strict=True):
        _curve(axes, figures[curve], [value(point) for point in figures[curve]])
        axes.set_xlabel(label)
    sizes = (point["image size"] for point in figures["over image size"])
    names = [f"{width} x {height}" for height, width in sizes]
    panels[0, 1].set_xticks(panels[0, 1].get_xticks(), names)
    for axes in panels[:, 0]:
        axes.set_ylabel("p50 [ms]")
    panels[1, 1].set_title("time of one image, memory of all cameras", fontsize=10)
    _memory_of_cameras(panels[1, 1], figures["over cameras"])
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=3, loc="outside lower center")
    figure.suptitle(f"{figures['backbone']}, {figures['machine']['device']}", fontsize=11)
    write_figure(figure, path)


def _memory_of_cameras(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    """Draw the memory of the process, or of the GPU, over a second axis."""
    memory = axes.twinx()
    x = [point["cameras"] for point in points]
    y = [point["memory [MiB]"] for point in points]
    memory.plot(x, y, ":", marker="s", ms=4, color="tab:green")
    memory.set_ylim(0, 1.6 * max(y))  # between the lines of both stages
    memory.set_ylabel("memory [MiB], dotted", color="tab:green")
    memory.tick_params(axis="y", labelcolor="tab:green")


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


def _rounded(value: float) -> str:
    """Return a number with three digits, such as 524k."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def _curve(axes: Axes, points: Sequence[Mapping[str, Any]], x: Sequence[float]) -> None:
    """Draw the p50 of both stages for the networks that were run, and the bounds."""
    styles = {"encode": "--", "voxels": "-"}
    for variant in VARIANTS:
        if not any(point[variant] for point in points):
            continue
        for stage, style in styles.items():
            row = f"{stage} p50 [ms]"
            y = [point[variant][row] if point[variant] else np.nan for point in points]
            axes.plot(
                x, y, style, marker="o", ms=4, color=_COLORS[variant], label=f"{variant}: {stage}"
            )
    for stage, style in styles.items():
        y = [point["bound"][f"{stage} [ms]"] for point in points]
        axes.plot(x, y, style, color=_BOUND_COLOR, lw=1.2, label=f"bound: {stage}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(x, [_rounded(value) for value in x])
    axes.minorticks_off()
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)


def _stack(axes: Axes, names: Sequence[str], parts: Mapping[str, Sequence[float]]) -> None:
    """Draw one horizontal bar per name, made of parts."""
    left = np.zeros(len(names))
    for name, values in parts.items():
        axes.barh(names, values, left=left, label=name, height=0.6)
        left += values
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
