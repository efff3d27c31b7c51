# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Measure the memory and the time that commands take on longer and longer drives.

    python scripts/long_drives.py --frames 1000,10000,100000 -o long

For each length a recording of two cameras with class maps is written, of small images of noise.
Then the commands of a user run on it, each in a process of its own, and its peak of resident
memory is printed: `scenedino index` reads every frame; stage 1 draws its items from all frames,
once with a trainable encoder and once with a frozen one, whose cache has an entry for each frame
of which a few hundred are filled; stage 2, `evaluate segmentation` and `label-images` see a few
hundred frames spread over the drive. What is done stays in the folder and is not done again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera  # noqa: E402
from scenedino_ros.core.errors import SceneDinoError  # noqa: E402
from scenedino_ros.core.files import write_atomically  # noqa: E402
from scenedino_ros.recordings.datasets.drive_writer import (  # noqa: E402
    DriveWriter,
    RecordedCamera,
)
from scenedino_ros.recordings.rosbag2.writer import BagWriter  # noqa: E402
from scenedino_ros.terminal.progress import counting  # noqa: E402
from scenedino_ros.terminal.values import number_ranges  # noqa: E402

SIZE = (64, 192)  # height, width of the images, pixels
FEW = 200  # frames that are predicted, spread over the drive
PERIOD_NS = 100_000_000
STEP = 0.8  # metres from frame to frame
PICTURES = 16  # different images; a recording repeats them
NETWORK = (
    *("--model.image_size", f"{SIZE[0]},{SIZE[1]}", "--encoder.weights", "random"),
    *("--data.encoder_cameras", "camera_00", "--data.loss_views", "3", "--data.sources", "1"),
)


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        peak_mib: Most resident memory of any of its processes, MiB.
        seconds: Wall time.
    """

    peak_mib: float
    seconds: float


def write_drive(path: Path, frames: int) -> None:
    """Write a recording of a camera pair that drives straight on."""
    height, width = SIZE
    K = np.array([[100.0, 0, width / 2], [0, 100.0, height / 2], [0, 0, 1]])
    camera = CalibratedCamera(PinholeCamera(K, width, height))
    names = ("camera_00", "camera_01")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (PICTURES, height // 8, width // 8, 3), dtype=np.uint8)
    pictures = pictures.repeat(8, 1).repeat(8, 2)
    labels = rng.integers(0, 19, (PICTURES, height // 8, width // 8), dtype=np.uint8)
    labels = labels.repeat(8, 1).repeat(8, 2)
    rig = [RecordedCamera(f"/{name}", name, camera) for name in names]
    T = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    with counting("drive") as report, DriveWriter(BagWriter(path), rig) as writer:
        mounted = {}
        for number, name in enumerate(names):
            mounted["base_link", name] = T.copy()
            mounted["base_link", name][1, 3] = -0.6 * number
        writer.static_transforms(mounted, PERIOD_NS)
        for frame in range(frames):
            ns, pose = (frame + 1) * PERIOD_NS, np.eye(4)
            pose[0, 3] = STEP * frame
            writer.transforms({("map", "base_link"): pose}, ns)
            writer.label("/camera_00", labels[frame % PICTURES], ns)
            for name in names:
                writer.image(f"/{name}", pictures[frame % PICTURES], ns)
            report(frame + 1, frames)


def run(words: list[str], log: Path) -> Cost:
    """Run a command and return what it took.

    Raises:
        SceneDinoError: If it fails.
    """
    begun = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(words, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(errors="replace").splitlines()[-3:]
        raise SceneDinoError(f"{' '.join(words)} ended with {process.returncode}: {end}")
    return Cost(usage.ru_maxrss / 1024, time.monotonic() - begun)


def commands(folder: Path, frames: int) -> dict[str, list[str]]:
    """Return the commands by name; each needs those before it."""
    scenedino = [sys.executable, "-m", "scenedino_ros.cli"]
    store, every = str(folder / "store"), str(max(1, frames // FEW))
    field = [sys.executable, "-m", "train.train_field", "--data.stores", store]
    field += ["--config", "train/configs/field_smoke.yaml", *NETWORK, "--run.steps", "20"]
    head = [sys.executable, "-m", "train.train_semantics", "--data.stores", store]
    head += ["--config", "train/configs/semantics_smoke.yaml", "--data.validation", store]
    head += ["--checkpoint", str(folder / "frozen/field.safetensors"), "--data.every", every]
    weights = str(folder / "head/semantics.safetensors")
    size = f"{SIZE[0]}x{SIZE[1]}"
    return {
        "index": [*scenedino, "index", str(folder / "drive"), "-o", store, "--image-size", size],
        "stage 1": [*field, "--encoder.trainable", "true", "--output", str(folder / "field")],
        "stage 1, cached features": [*field, "--data.every", every]
        + ["--output", str(folder / "frozen")],
        "stage 2": [*head, "--output", str(folder / "head")],
        "evaluate segmentation": [*scenedino, "evaluate", "segmentation", store, "--every", every]
        + ["--checkpoint", weights, "--no-crf", "-o", str(folder / "scores"), "--workers", "1"],
    }


def measure(folder: Path, frames: int) -> dict[str, Cost]:
    """Run everything on a drive, and return what each command took."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "drive").exists():
        write_drive(folder / "drive", frames)
    found = folder / "costs.json"
    costs = {}
    if found.exists():
        costs = {name: Cost(**cost) for name, cost in json.loads(found.read_text()).items()}
    for name, words in commands(folder, frames).items():
        if name not in costs:
            print(f"{frames} frames: {name}", file=sys.stderr, flush=True)
            costs[name] = run(words, folder / f"{name}.log")
            text = json.dumps({key: asdict(cost) for key, cost in costs.items()}, indent=2)
            write_atomically(found, text.encode())
    return costs


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=number_ranges, default=(1000, 10_000, 100_000))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    folders = {frames: options.output.absolute() / str(frames) for frames in options.frames}
    try:
        costs = {frames: measure(folder, frames) for frames, folder in folders.items()}
    except SceneDinoError as error:
        print(f"long_drives: {error}", file=sys.stderr)
        return 1
    heads = [f"{frames:,} frames" for frames in costs]
    print("| peak memory (time) |", " | ".join(heads), "|")
    print("| --- |", " | ".join("---:" for _ in heads), "|")
    for name in next(iter(costs.values())):
        cells = [
            f"{cost[name].peak_mib:.0f} MiB ({cost[name].seconds:.0f} s)"
            for cost in costs.values()
        ]
        print(f"| {name} |", " | ".join(cells), "|")
    return 0


if __name__ == "__main__":
    sys.exit(main())
