# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What the tables show of an evaluation, from the scores in its ``result.json``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.published import CONSISTENCY, SEGMENTATION, SSC_ROWS

RANGES = ("12.8", "25.6", "51.2")  # metres

Scores = Mapping[str, Any]  # as the summary of the evaluation describes them
Published = tuple[float | None, ...]  # a row of the paper, in the order of the published columns
# Rows of the paper on KITTI-360, by their names.
PUBLISHED_SSC: dict[str, Published] = {row.method: row.miou for row in SSC_ROWS}
PUBLISHED_SEGMENTATION: dict[str, Published] = {
    row.method: row[1:] for row in SEGMENTATION["KITTI-360"]
}
PUBLISHED_CONSISTENCY: dict[str, Published] = {
    row.features: row[1:] for row in CONSISTENCY["KITTI-360"]
}


@dataclass(frozen=True)
class Measures:
    """A table without its rows.

    Attributes:
        title: What it shows.
        columns: Titles of what is measured.
        published: Those of them that the paper has, too.
        read: Takes the scores of an evaluation, and which part of them is meant (see `Row`);
            returns the values of the columns.
        note: What a reader has to know of the values.
    """

    title: str
    columns: tuple[str, ...]
    published: tuple[str, ...]
    read: Callable[[Scores, str], tuple[float, ...]]
    note: str


def _ssc(scores: Scores, part: str) -> tuple[float, ...]:
    """Return IoU and mIoU in percent at three ranges, at the first threshold."""
    rule = _named(scores)
    return tuple(100 * rule[key][part] for key in ("iou", "miou") for part in RANGES)


def _ssc_whole(scores: Scores, part: str) -> tuple[float, ...]:
    """Return IoU and mIoU in percent at the largest range, at the first threshold."""
    rule = _named(scores)
    return tuple(100 * rule[key][RANGES[-1]] for key in ("iou", "miou"))


def _named(scores: Scores) -> Mapping[str, Any]:
    first: Mapping[str, Any] = next(iter(scores["network"].values()))
    if first.get("direct") is None:
        raise InputError("no scores of classes as the checkpoint names them")
    rule: Mapping[str, Any] = first["direct"]
    return rule


def _segmentation(scores: Scores, part: str) -> tuple[float, ...]:
    """Return accuracy and mIoU in percent, without and with a CRF; clusters are matched."""
    ways = ("matched", "matched_crf") if "matched" in scores else ("probe", "probe_crf")
    return tuple(100 * scores[way][key] for way in ways for key in ("accuracy", "miou"))


def _consistency(scores: Scores, part: str) -> tuple[float, ...]:
    """Return L1, L2 and cosine of some features, and their cosine without the mean feature."""
    plain, centred = scores["plain"][part]["pixels"], scores["centred"][part]["pixels"]
    return (plain["l1"], plain["l2"], plain["cosine"], centred["cosine"])


TABLES = {
    "ssc": Measures(
        "Semantic scene completion",
        (*(f"IoU {r} m" for r in RANGES), *(f"mIoU {r} m" for r in RANGES)),
        tuple(f"mIoU {r} m" for r in RANGES),
        _ssc,
        "Percent.",
    ),
    "analysis": Measures(
        "Semantic scene completion, analysis",
        (f"IoU {RANGES[-1]} m", f"mIoU {RANGES[-1]} m"),
        (f"mIoU {RANGES[-1]} m",),
        _ssc_whole,
        "Percent.",
    ),
    "segmentation": Measures(
        "Segmentation of images",
        ("accuracy", "mIoU", "accuracy after CRF", "mIoU after CRF"),
        ("accuracy after CRF", "mIoU after CRF"),
        _segmentation,
        "Percent. Clusters are matched to classes on the scored images, as the published ones "
        "are; classes of S4C are its own.",
    ),
    "consistency": Measures(
        "Consistency of features across views",
        ("L1", "L2", "cosine", "cosine without mean"),
        ("L1", "L2", "cosine"),
        _consistency,
        "L1 and L2: lower is better; cosine: higher is better. A constant feature is perfectly "
        "consistent, so the last column removes the mean feature.",
    ),
}
