# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Run the real node for hours among faults, and fail where it grows or does not answer.

    python scripts/soak.py --minutes 60
    python scripts/soak.py --minutes 720 --rate 50 --output soak
    python scripts/soak.py --minutes 60 --bag drive

A synthetic camera with TF sends frames in a loop: --rate sets how many per second, so that a day
of a camera fits into an hour; --bag sends the images of a recording instead. Every --every frames
a fault of test/faults/fault_table.py is mixed in. The node must answer after each fault with the
frame that the table states. After a warm-up, the slopes of resident memory, file descriptors and
threads must stay below stated bounds. Ctrl-C ends the run early, and reports what there is.

The exit code is 0 if the node stayed well, 1 if not.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "test"), str(ROOT / "test" / "faults")]

from fault_runner import Outcome, Stages, run_fault  # noqa: E402
from fault_table import FAULTS, RAW, SUITE, Fault, Frames  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from scenedino_ros.core.errors import SceneDinoError  # noqa: E402
from scenedino_ros.recordings.recording import Recording  # noqa: E402

WARM_UP = 0.25  # fraction of the run before growth counts: caches fill, the allocator settles
# What may be left of growth per hour after that. A leak of 1 KiB per frame at 10 Hz has 35 MiB.
MOST_MIB_PER_HOUR = 20.0
MOST_DESCRIPTORS_PER_HOUR = 6.0
MOST_THREADS_PER_HOUR = 3.0
# What a run may grow in all after the warm-up, whatever its slope: steps of the allocator.
STEPS_MIB, STEPS = 24.0, 4.0
# These last seconds each: they wait until the node finds that something is missing.
LONG = ("silent", "gone", "killed", "missing", "latched", "starved")


@dataclass
class Soak:
    """What a run has seen.

    Attributes:
        samples: Rows of seconds since the start, MiB, descriptors, threads and frames sent.
        faults: How often each fault was mixed in.
        slowest: The latest frame that answered after each fault.
        failures: What went wrong, in sentences.
        frames: Frames sent.
        answers: Frames answered of those that were waited for.
        asked: Frames that were waited for.
    """

    samples: list[list[float]] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    frames: int = 0
    answers: int = 0
    asked: int = 0

    def sample(self, pid: int, start: float) -> None:
        """Take the state of the process."""
        status = Path(f"/proc/{pid}/status").read_text().split("\n")
        values = dict(line.split(":", 1) for line in status if ":" in line)
        mib = int(values["VmRSS"].split()[0]) / 1024
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        row = (time.monotonic() - start, mib, descriptors, int(values["Threads"]), self.frames)
        self.samples.append([float(value) for value in row])

    def add(self, outcome: Outcome) -> None:
        """Count a fault."""
        title = outcome.fault.title
        self.faults[title] = self.faults.get(title, 0) + 1
        self.slowest[title] = max(self.slowest.get(title, 0), outcome.recovery)

    def growth(self) -> dict[str, tuple[float, float, float]]:
        """Return slope per hour, its bound and the rise of each quantity after the warm-up."""
        rows = np.array(self.samples)
        rows = rows[rows[:, 0] >= WARM_UP * rows[-1, 0]]
        bounds = (MOST_MIB_PER_HOUR, MOST_DESCRIPTORS_PER_HOUR, MOST_THREADS_PER_HOUR)
        names = ("memory [MiB/h]", "descriptors [1/h]", "threads [1/h]")
        found = {}
        for column, (name, bound) in enumerate(zip(names, bounds, strict=True), start=1):
            values = rows[:, column]
            slope, rise = 0.0, 0.0
            if len(rows) > 2 and np.ptp(rows[:, 0]) > 0:
                slope = 3600 * float(np.polyfit(rows[:, 0], values, 1)[0])
                third = max(1, len(values) // 3)
                rise = float(np.median(values[-third:]) - np.median(values[:third]))
            found[name] = (slope, bound, rise)
        return found

    def judge(self) -> None:
        """Add a failure for each quantity that grows."""
        for name, (slope, bound, rise) in self.growth().items():
            step = STEPS_MIB if "MiB" in name else STEPS
            if slope > bound and rise > step:
                self.failures.append(
                    f"{name} must grow by {bound:g} or less, got {slope:.1f} ({rise:+.1f} in all)"
                )
        if self.answers < self.asked:
            self.failures.append(f"{self.asked} frames must be answered, got {self.answers}")


def pictures(bag: Path | None) -> list[dict[str, Any]]:
    """Return the fields of images and of their CameraInfo that differ from the synthetic ones."""
    if bag is None:
        return [{}]
    found = []
    with Recording(bag) as recording:
        name, camera = next(iter(recording.cameras.items()))
        calibration, pinhole = camera.calibration, camera.calibration.pinhole
        size = {"width": pinhole.width, "height": pinhole.height}
        lens = {"distortion_model": calibration.distortion_model, "d": calibration.D.tolist()}
        info = {**size, **lens, "k": calibration.K.reshape(-1).tolist()}
        for index in range(min(len(camera.images.stamps_ns), 50)):
            rgb = recording.image(name, index)
            image = {**size, "step": 3 * pinhole.width, "data": rgb.tobytes()}
            found.append({"image": image, "info": info})
    return found


def soak(options: argparse.Namespace, report: Any) -> Soak:
    """Run the node among faults until the time is over or Ctrl-C comes."""
    seen = Soak()
    faults = [f for f in FAULTS if f.node == RAW and f.name not in LONG]
    if options.short:
        faults = [fault for fault in faults if fault.title in SUITE][::4]
    frames = [Frames(**part) for part in pictures(options.bag)]
    with tempfile.TemporaryDirectory() as temporary:
        stages = Stages(Path(temporary), [RAW])
        stage = stages.shared[RAW]
        start = next_line = time.monotonic()
        shown = 0
        pid = stage.process.process.pid
        try:
            while time.monotonic() < start + 60 * options.minutes:
                _drive(seen, stage, frames, options)
                _mix_in(seen, stage, faults[sum(seen.faults.values()) % len(faults)])
                if stage.process.process.poll() is not None:
                    seen.failures.append(f"the node has ended: {stage.log_text()[-500:]}")
                    break
                seen.sample(pid, start)
                while shown < len(seen.failures):
                    report(f"  FAILED: {seen.failures[shown]}")
                    shown += 1
                if time.monotonic() >= next_line:
                    next_line += options.line
                    seconds, mib, descriptors, threads, sent = seen.samples[-1]
                    report(
                        f"{seconds / 60:6.1f} min {sent:8.0f} frames {mib:7.0f} MiB "
                        f"{descriptors:4.0f} descriptors {threads:3.0f} threads "
                        f"{sum(seen.faults.values()):5d} faults {len(seen.failures)} failures"
                    )
        except KeyboardInterrupt:
            report("stopped")
        finally:
            stages.close()
    if seen.samples:
        seen.judge()
    return seen


def _drive(seen: Soak, stage: Any, frames: list[Frames], options: argparse.Namespace) -> None:
    """Send frames at the rate; wait for the answer to the last one."""
    for _ in range(options.every):
        begun = time.monotonic()
        stage.send(frames[seen.frames % len(frames)])
        seen.frames += 1
        stage.rig.spin_for(max(0.0, 1 / options.rate - (time.monotonic() - begun)))
        stage.clouds.messages.clear()
    seen.asked += 1
    seen.frames += 1
    answered = stage.answered_frame(3) <= 3
    seen.answers += answered
    if not answered:
        seen.failures.append(f"no answer after {seen.frames} frames: {stage.rig.verdict()}")


def _mix_in(seen: Soak, stage: Any, fault: Fault) -> None:
    try:
        seen.add(run_fault(fault, stage))
    except AssertionError as error:
        seen.failures.append(f"{fault.title}: {str(error)[:300]}")


def plot(seen: Soak, path: Path) -> None:
    """Draw memory, descriptors and threads over time."""
    rows = np.array(seen.samples)
    figure = Figure(figsize=(8, 6), layout="constrained")
    labels = ("resident memory [MiB]", "file descriptors", "threads")
    for axes, column, label in zip(
        figure.subplots(3, sharex=True), (1, 2, 3), labels, strict=True
    ):
        axes.plot(rows[:, 0] / 60, rows[:, column])
        axes.axvline(WARM_UP * rows[-1, 0] / 60, color="grey", linestyle=":")
        axes.set_ylabel(label)
    axes.set_xlabel("minutes; growth counts after the dotted line")
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Run, print what was seen, and write it to files."""
    options = _parser().parse_args(argv)
    # A shell starts jobs in the background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    report = lambda line: print(line, flush=True)  # noqa: E731
    try:
        seen = soak(options, report)
    except SceneDinoError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    if not seen.samples:
        report("nothing was measured")
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    growth = seen.growth()
    facts = {**asdict(seen), "growth": {n: dict(zip(("slope", "bound", "rise"), v, strict=True))
                                        for n, v in growth.items()}}  # fmt: skip
    (options.output / "soak.json").write_text(json.dumps(facts, indent=1))
    plot(seen, options.output / "soak.png")
    report(f"{seen.frames} frames, {sum(seen.faults.values())} faults of {len(seen.faults)} kinds")
    for name, (slope, bound, rise) in growth.items():
        report(f"  {name}: {slope:+.2f} after the warm-up, at most {bound:g} ({rise:+.1f} in all)")
    for failure in seen.failures:
        report(f"  FAILED: {failure}")
    report(f"  {options.output / 'soak.json'}, {options.output / 'soak.png'}")
    return 1 if seen.failures else 0


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, help="how long to run (default: 60)")
    add("--rate", type=float, default=10.0, help="frames per second (default: 10)")
    add("--every", type=int, default=20, help="frames between faults (default: 20)")
    add("--line", type=float, default=60.0, help="seconds between lines (default: 60)")
    add("--bag", type=Path, help="recording whose images to send (default: a synthetic one)")
    add("--short", action="store_true", help="only a few kinds of faults, as the test does")
    add("--output", type=Path, default=ROOT / "soak", help="folder of JSON and plot")
    return parser


if __name__ == "__main__":
    sys.exit(main())
