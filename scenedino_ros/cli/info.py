# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Show what a checkpoint is: origin, licence, architecture, classes, size and checksum.

Only the header of the file is read (and, for the checksum, its bytes); no network is built.
Without a checkpoint the command lists the published names, and whether each is on this machine.
"""

import argparse
import json

from scenedino_ros.checkpoints.names import PUBLISHED, cached_file
from scenedino_ros.terminal.progress import reporting

_EPILOG = """\
examples:
  scenedino info
  scenedino info dino.safetensors
  scenedino info ssc-kitti-360-dino --download
  scenedino info dino.safetensors --json | jq .config.backbone
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("checkpoint", nargs="?", help=".safetensors file or published name")
    parser.add_argument(
        "--download",
        action="store_true",
        help="download a published checkpoint that is not on this machine",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Print the card of a checkpoint, or the list of published names."""
    if options.checkpoint is None:
        return _list_published(as_json=options.json)
    with reporting("reading the checkpoint") as report:
        # Imported here: the list and the help do not wait for it.
        from scenedino_ros.checkpoints.card import read_card
        from scenedino_ros.checkpoints.hub import locate
        from scenedino_ros.cli.card import card_json, card_values, print_card
        from scenedino_ros.core.files import file_sha256

        report(f"reading {options.checkpoint}")
        path = locate(options.checkpoint, report, fetch=options.download)
        values = card_values(path, read_card(path), file_sha256(path))
    if options.json:
        print(card_json(values))
    else:
        print_card(values)
    return 0


def _list_published(*, as_json: bool) -> int:
    entries = [
        {
            "name": name,
            "weights": published.weights,
            "file": str(cached_file(name)),
            "downloaded": cached_file(name).is_file(),
        }
        for name, published in PUBLISHED.items()
    ]
    if as_json:
        print(json.dumps(entries, indent=2))
        return 0
    for entry in entries:
        state = f"in {entry['file']}" if entry["downloaded"] else "not downloaded"
        print(f"{entry['name']}: {entry['weights']}; {state}")
    return 0
