# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A checkpoint's card: what it is, as a table for people and as plain values for programs."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scenedino_ros.checkpoints.card import CheckpointCard
from scenedino_ros.terminal.tables import print_whole


def card_values(path: Path, card: CheckpointCard, sha256: str) -> dict[str, Any]:
    """Return everything on the card as plain values.

    Args:
        path: The checkpoint's file.
        card: What its header says.
        sha256: SHA-256 of the file.
    """
    types = sorted({dtype for _, dtype in card.tensors.values()})
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "provenance": card.provenance,
        "density_threshold": card.density_threshold,
        "config": card.config.to_dict(),
        "classes": list(card.classes.names),
        "tensors": len(card.tensors),
        "values": sum(math.prod(shape) for shape, _ in card.tensors.values()),
        "types": types,
    }


def print_card(values: dict[str, Any]) -> None:
    """Print what `card_values` returned as a table on standard output."""
    table = Table(show_header=False, box=None, padding=(0, 1, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    config = values["config"]
    height, width = config["image_size"]
    rows = {
        "file": f"{values['file']} ({values['bytes'] / 1e6:.1f} MB)",
        "sha256": values["sha256"],
        **values["provenance"],
        "backbone": config["backbone"],
        "image": f"{height} x {width} px (height x width)",
        "density threshold": f"{values['density_threshold']:g} 1/m",
        "classes": f"{config['n_classes']}: {', '.join(values['classes'])}"
        if config["n_classes"]
        else "none, geometry only",
        "heads": ", ".join(config["heads"]) if config["n_classes"] else "none",
        "tensors": f"{values['tensors']} with {values['values'] / 1e6:.2f} million values "
        f"({', '.join(values['types'])})",
        "config": ", ".join(
            f"{key} {value}"
            for key, value in config.items()
            if key not in ("backbone", "image_size", "n_classes", "heads")
        ),
    }
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), value)
    if sys.stdout.isatty():
        Console(highlight=False, markup=False).print(table)
    else:
        print_whole(table)  # a program that reads it must find each value in one piece


def card_json(values: dict[str, Any]) -> str:
    """Return what `card_values` returned as JSON."""
    return json.dumps(values, indent=2)
