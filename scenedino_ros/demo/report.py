# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The table of a run: rates, drops and latencies, for people and for programs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.outputs import OUTPUTS
from scenedino_ros.demo.recording import VOXELS, Measurements
from scenedino_ros.demo.settings import PlayResult
from scenedino_ros.node.statistics import (
    IMAGES_IN,
    IMAGES_OUT,
    PERCENTILES,
    UNTRAINED_WEIGHTS,
    Reason,
    Stage,
)

_LATENCY_NOTE = (
    "The player stamps each image at the moment it publishes it, so times from the stamp begin "
    "with the image's own way to the node."
)
_MAP_NOTE = (
    " The node fuses an image in the map after it has published what belongs to the image alone; "
    "the next image waits for that."
)


@dataclass(frozen=True)
class Section:
    """One table of the report.

    Attributes:
        title: Its heading.
        header: Names of its columns; the first is a name, the others are numbers.
        rows: As many words per row.
        note: A sentence below, or nothing.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that is reported about a run.

    Attributes:
        facts: What ran on which machine: names and words.
        measured: What the recording shows.
        played: The player's result; None if it did not reach its end.
        realtime: Whether the player kept the pace of the recording whatever the node did.
        problems: Sentences on what went wrong.
        files: The results: names and files in the run's folder.
        voxels: Numbers of published voxels of the frames drawn.
    """

    facts: dict[str, str]
    measured: Measurements
    played: PlayResult | None
    realtime: bool
    problems: list[str]
    files: dict[str, str]
    voxels: tuple[int, ...] = ()

    @property
    def is_untrained(self) -> bool:
        """Whether the weights were never trained."""
        return self.measured.reports.get("network", {}).get(UNTRAINED_WEIGHTS) == "true"

    def values(self) -> dict[str, Any]:
        """Return the report as plain values that JSON can hold."""
        played = self.played
        return {
            "weights": self.measured.weights,
            "untrained_weights": self.is_untrained,
            "facts": self.facts,
            "network": self.measured.reports.get("network", {}),
            "images": image_counts(self),
            "drops": _drops(self.measured),
            "rate_hz": {"images_out": output_rate(self.measured)},
            "latency_ms": stage_latencies(self.measured),
            "stamp_to_arrival_ms": _arrival(self.measured),
            "playing": {
                "realtime": self.realtime,
                "seconds": played.seconds if played else None,
                "pauses": played.pauses if played else None,
                "paused_seconds": played.paused_seconds if played else None,
                "unanswered": played.unanswered if played else None,
            },
            "messages": self.measured.counts,
            "occupied_voxels": list(self.voxels),
            "problems": self.problems,
            "files": self.files,
        }

    def sections(self) -> list[Section]:
        """Return the tables."""
        return [
            Section("Run", ("what", "value"), tuple(self.facts.items())),
            _image_section(self),
            _latency_section(self.measured),
            _arrival_section(self.measured),
        ]


def image_counts(report: Report) -> dict[str, int]:
    """Return how many images were played, came in, and came out."""
    frames = report.measured.reports.get("frames", {})
    played = report.played.sent if report.played else len(report.measured.image_stamps)
    return {
        "played": played,
        "recorded": len(report.measured.image_stamps),
        "arrived_at_node": int(frames.get(IMAGES_IN, 0)),
        "processed": int(frames.get(IMAGES_OUT, 0)),
        "clouds_recorded": report.measured.counts.get(VOXELS, 0),
    }


def silence(report: Report) -> str:
    """Return a sentence on why the node answered no image; empty if it answered one."""
    counts = image_counts(report)
    if counts["processed"] or counts["clouds_recorded"]:
        return ""
    frames = report.measured.reports.get("frames", {})
    why = frames.get("last problem") or frames.get("message") or "it published no report"
    return f"the node answered none of {counts['played']} images that were played: {why}"


def output_rate(measured: Measurements) -> float:
    """Return processed images per second, from the first image to the last output."""
    return len(measured.cloud_stamps) / measured.seconds if measured.seconds > 0 else 0.0


def stage_latencies(measured: Measurements) -> dict[str, dict[str, float]]:
    """Return the node's percentiles by stage, such as ``{"encode": {"p50": 12.0}}``."""
    values = measured.reports.get("latency", {})
    stages = {
        stage.value: {
            f"p{percentile}": float(values[stage.key(percentile)])
            for percentile in PERCENTILES
            if stage.key(percentile) in values
        }
        for stage in Stage
    }
    return {stage: percentiles for stage, percentiles in stages.items() if percentiles}


def write_report(report: Report, folder: Path) -> None:
    """Write ``report.json`` and ``report.md``."""
    text = json.dumps(report.values(), indent=2)
    write_atomically(folder / "report.json", text.encode("utf-8"))
    write_atomically(folder / "report.md", _markdown(report).encode("utf-8"))


def print_report(report: Report, folder: Path, console: Console) -> None:
    """Print the tables to the terminal."""
    for section in report.sections():
        table = Table(title=section.title, title_justify="left", title_style="bold")
        for number, name in enumerate(section.header):
            numbers = number > 0 and section.title != "Run"
            table.add_column(name, justify="right" if numbers else "left", overflow="fold")
        for row in section.rows:
            table.add_row(*map(escape, row))
        console.print(table)
        if section.note:
            console.print(section.note, style="dim", markup=False)
        console.print()
    for problem in report.problems:
        console.print(f"problem: {problem}", style="yellow", markup=False, soft_wrap=True)
    style = "bold red" if report.is_untrained else "bold"
    console.print(f"Weights: {report.measured.weights}", style=style, markup=False, soft_wrap=True)
    console.print(f"Results in {folder}:", markup=False, soft_wrap=True)
    for name, file in report.files.items():
        console.print(f"  {file}  ({name})", markup=False, highlight=False, soft_wrap=True)


def _markdown(report: Report) -> str:
    lines = ["# Demo run", "", f"Weights: **{report.measured.weights}**", ""]
    for section in report.sections():
        lines += [f"## {section.title}", "", _row(section.header)]
        lines.append(_row(["---", *("---:" for _ in section.header[1:])]))
        lines += [_row(row) for row in section.rows]
        lines += ["", section.note, ""] if section.note else [""]
    if report.problems:
        lines += ["## Problems", "", *(f"- {problem}" for problem in report.problems), ""]
    if report.files:
        lines += ["## Files", ""]
        lines += [f"- [{file}]({file}): {name}" for name, file in report.files.items()]
        shown = [f for f in report.files.items() if f[1].endswith((".png", ".webp"))]
        lines += ["", *(f"![{name}]({file})" for name, file in shown), ""]
    return "\n".join(lines)


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _image_section(report: Report) -> Section:
    counts, measured = image_counts(report), report.measured
    seconds = measured.seconds
    rows = [
        ("images played", str(counts["played"]), _played_rate(report)),
        ("images that arrived at the node", str(counts["arrived_at_node"]), ""),
        ("images processed", str(counts["processed"]), f"{output_rate(measured):.2f}"),
    ]
    rows += [(f"dropped: {reason}", str(count), "") for reason, count in _drops(measured).items()]
    for topic, count in sorted(measured.counts.items()):
        rows.append((topic, str(count), f"{count / seconds:.2f}" if seconds > 0 else ""))
    note = (
        "Images were played at their own pace; what the node could not keep up with is dropped."
        if report.realtime
        else "Each image was played when the node was done with the one before it; "
        "--realtime keeps the pace of the recording."
    )
    return Section("Images and messages", ("what", "count", "1/s"), tuple(rows), note)


def _played_rate(report: Report) -> str:
    """Return images played per second in words; empty where that is not known."""
    played = report.played
    if played is None:
        return ""
    if not report.realtime:  # each image has its answer in the time
        return f"{played.sent / played.seconds:.2f}"
    return f"{(played.sent - 1) / played.span:.2f}" if played.span > 0 else ""


def _latency_section(measured: Measurements) -> Section:
    stages = stage_latencies(measured)
    rows = [
        (stage, *(f"{values.get(name, float('nan')):.1f}" for name in ("p50", "p95", "p99")))
        for stage, values in stages.items()
    ]
    header = ("stage", "p50 ms", "p95 ms", "p99 ms")
    note = _LATENCY_NOTE + (_MAP_NOTE if Stage.MAP.value in stages else "")
    return Section("Latency in the node, by stage", header, tuple(rows), note)


def _arrival_section(measured: Measurements) -> Section:
    rows = [
        (topic, *(f"{values[name]:.1f}" for name in ("p50", "p95", "max")))
        for topic, values in sorted(_arrival(measured).items())
    ]
    return Section(
        "From the image's stamp to the arrival at the recorder",
        ("topic", "p50 ms", "p95 ms", "max ms"),
        tuple(rows),
    )


def _arrival(measured: Measurements) -> dict[str, dict[str, float]]:
    of_images = [output.topic() for output in OUTPUTS if output.needs]
    return {
        topic: {
            "p50": float(np.percentile(delays, 50)),
            "p95": float(np.percentile(delays, 95)),
            "max": max(delays),
        }
        for topic, delays in measured.arrival_ms.items()
        if topic in of_images
    }


def _drops(measured: Measurements) -> dict[str, int]:
    frames = measured.reports.get("frames", {})
    counts = {reason.value: int(frames.get(reason.key, 0)) for reason in Reason}
    return {reason: count for reason, count in counts.items() if count}
