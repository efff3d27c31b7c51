# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs the table of faults against the real node, and measures when answers come again.

    python test/faults/fault_runner.py                    the whole table
    python test/faults/fault_runner.py "time: zero"       one row
    python test/faults/fault_runner.py --table            print the table, run nothing

Nothing depends on how fast the machine is: recovery is counted in frames, and each frame is
followed until the node has answered or counted it.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

from fault_table import BY_NAME, COMPRESSED, FAULTS, OWN, PNG, Fault, Frames, Seen  # noqa: E402
from injector import Injector  # noqa: E402
from models import lively_checkpoint  # noqa: E402
from ros_rig import (  # noqa: E402
    BASE_CAMERA,
    CAMERA_FRAME,
    GRID_FRAME,
    SECOND,
    NodeProcess,
    Rig,
    as_stamp,
    image_message,
    info_message,
)
from sensor_msgs.msg import CompressedImage, Image, PointCloud2  # noqa: E402

from scenedino_ros.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from scenedino_ros.core.voxels import VoxelGrid  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node.tf_message_type import TF_QOS, tf_message_class  # noqa: E402
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms  # noqa: E402
from scenedino_ros.recordings.transforms import StampedTransform  # noqa: E402

GRID = VoxelGrid((0.0, -3.2, -2.0), (16, 16, 8), 0.4)
EVERYTHING = 1e-9  # 1/m; every voxel is denser
VOXELS = "/scenedino/voxels"
STALL = 60.0  # seconds in which something must happen; a machine may be slow
LOST = 5.0  # seconds after which an image that has not arrived is sent again
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

COMMON: dict[str, Any] = {
    "model.device": "cpu",
    "model.engine": "torch",
    "model.precision": "float32",
    "voxels.density_threshold": 0.0,
    "diagnostics.period": 0.1,
    "diagnostics.stale_after": 0.5,
    "grid.shape": list(GRID.shape),
    "grid.voxel_size": GRID.voxel_size,
    "grid.frame": GRID_FRAME,
    "grid.origin": list(GRID.origin),
    "grid.tf_timeout": 0.5,
}
OF_COMPRESSED = {"input.transport": "compressed", "input.pairing": "exact"}


@dataclass(frozen=True)
class Outcome:
    """How a fault went.

    Attributes:
        fault: The fault.
        recovery: Which good frame after it was the first that was answered, from 1.
        memory: What it added to the peak of the resident memory, MiB.
    """

    fault: Fault
    recovery: int
    memory: float


class Stage:
    """A real node, and everything around it that a fault may spoil."""

    def __init__(self, folder: Path, fault_or_kind: Fault | str, checkpoint: Path) -> None:
        """Start a node, without waiting for it.

        Args:
            folder: For its log.
            fault_or_kind: A fault with a node of its own, or the kind of the shared node.
            checkpoint: Its weights.
        """
        kind = fault_or_kind if isinstance(fault_or_kind, str) else fault_or_kind.node
        self.compressed = kind == COMPRESSED
        self.parameters = COMMON | {"model.checkpoint": checkpoint}
        self.environment: Mapping[str, str] = {}
        if self.compressed:
            self.parameters |= OF_COMPRESSED
        if isinstance(fault_or_kind, Fault):
            self.parameters |= fault_or_kind.parameters
            self.environment = fault_or_kind.environment
        self.log = folder / f"{kind}-{len(list(folder.iterdir()))}.log"
        self.domain = reserve_domain()
        self._ending = ExitStack()
        self.start()

    def start(self) -> None:
        """Start the node's process, also after its predecessor has died."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            self.process = NodeProcess(self.domain, self.log, self.parameters)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        self._ending.callback(self.process.kill)

    def open(self) -> None:
        """Wait for the node, and open the camera, TF and a subscriber."""
        self.rig = Rig(self.domain)
        self._ending.callback(self.rig.close)
        self._tf = self.rig.node.create_publisher(tf_message_class(), "/tf", TF_QOS)
        self.message_type = CompressedImage if self.compressed else Image
        self.rig.open_camera(self.message_type)
        self.rig.wait_active()
        self.subscribe()
        self.rig.spin_until(self._heard, "a node that hears the camera")
        self.injector = Injector(self)

    def close(self) -> None:
        """End the node and everything around it."""
        self._ending.close()

    def subscribe(self) -> None:
        """Subscribe to the voxels."""
        self.clouds = self.rig.subscribe(VOXELS, PointCloud2)

    def _heard(self) -> bool:
        count = self.rig.node.count_subscribers
        topics = ("/image/compressed" if self.compressed else "/image", "/camera_info", "/tf")
        return all(count(topic) > 0 for topic in topics)

    def log_text(self) -> str:
        """Return what the node has logged."""
        return self.log.read_text(errors="backslashreplace")

    # Frames.

    def send(self, frames: Frames = Frames(), offset: float = 0.0) -> int:  # noqa: B008
        """Send one frame; return the stamp of its image, nanoseconds."""
        stamp_ns = time.time_ns() + round(offset * SECOND)
        if not frames.transform_last:
            self._send_transforms(frames, stamp_ns)
        if not frames.info_last:
            self._send_info(frames, stamp_ns)
        if frames.image is not None:
            self._send_image(dict(frames.image), stamp_ns)
        for wait, send in (
            (frames.info_last, self._send_info),
            (frames.transform_last, self._send_transforms),
        ):
            if wait:
                self.rig.spin_for(wait)
                send(frames, stamp_ns)
        return stamp_ns

    def _send_image(self, changes: dict[str, Any], stamp_ns: int) -> None:
        stamp = as_stamp(changes.pop("stamp_ns", stamp_ns))
        if self.compressed:
            message = CompressedImage(
                format=changes.pop("format", "png"), data=changes.pop("data", PNG)
            )
            message.header.stamp, message.header.frame_id = stamp, CAMERA_FRAME
        else:
            message = image_message(stamp, **changes)
        self.rig._camera.publish(message)

    def _send_info(self, frames: Frames, stamp_ns: int) -> None:
        if frames.info is not None:
            changes = dict(frames.info)
            stamp_ns += round(changes.pop("stamp_offset", 0.0) * SECOND)
            self.rig._info.publish(info_message(as_stamp(stamp_ns), **changes))

    def _send_transforms(self, frames: Frames, stamp_ns: int) -> None:
        changes = () if frames.transform is None else (frames.transform,)
        for change in (*changes, *frames.more_transforms):
            translation, rotation = BASE_CAMERA
            transform = StampedTransform(
                change.get("parent", GRID_FRAME),
                change.get("child", CAMERA_FRAME),
                stamp_ns + round(change.get("offset", 0.0) * SECOND),
                change.get("translation", translation),
                change.get("rotation", rotation),
            )
            self._tf.publish(change.get("bytes") or cdr_from_transforms([transform]))

    def answered_frame(self, most: int) -> int:
        """Send good frames until one is answered; return which one it was, from 1.

        A frame that never arrives, as may happen to best-effort messages on a busy machine, is
        sent again and counts as the same one.
        """
        deadline = time.monotonic() + STALL
        number = 1
        while number <= most:
            before, answers = self._settled(), self.rig.count("images out")
            self.clouds.messages.clear()
            stamp, patience = as_stamp(self.send()), time.monotonic() + LOST
            answered = False
            while not answered and time.monotonic() < patience:
                answered = any(cloud.header.stamp == stamp for cloud in self.clouds.messages)
                arrived, without = self._counted()
                # An image without its CameraInfo waits until a later one has found its own.
                refused = arrived > before and without == 0
                # Where one more is answered, the answer itself may still be on the way.
                if not answered and refused and self.rig.count("images out") == answers:
                    number += 1
                    break
                self.rig.spin_for(0.02)
            if answered:
                return number
            assert time.monotonic() < deadline, f"no image arrives; {self.rig.status}"
        return number

    def _settled(self) -> int:
        """Wait until no image is on the way any more; return how many have arrived."""
        before, now, reports = (-1, -1), self._counted(), self.rig.reports
        while before != now:
            self.rig.spin_until(lambda seen=reports: self.rig.reports > seen, "a report")
            before, now, reports = now, self._counted(), self.rig.reports
        return now[0]

    def _counted(self) -> tuple[int, int]:
        """Return how many images have arrived, and how many of them have no outcome yet."""
        values = self.rig.values()
        outcomes = sum(
            int(value)
            for name, value in values.items()
            if name in ("images out", "images nobody wanted") or name.startswith("dropped: ")
        )
        arrived = int(values.get("images in", 0))
        return arrived, arrived - outcomes


def run_fault(fault: Fault, stage: Stage) -> Outcome:
    """Inject a fault, see what it must show, and count the frames until answers come again.

    Raises:
        AssertionError: If something is not seen, answers do not come again in time, the node
            ends, takes too much memory, or logs a traceback or a raw control character.
    """
    rig, injector = stage.rig, stage.injector
    injector.refusals.clear()
    assert stage.answered_frame(10) <= 10, f"no answer before the fault; {rig.status}"
    log_before, peak_before = len(stage.log_text()), injector.reset_peak_memory()
    for act in fault.before:
        injector.act(act)
    unseen = _Unseen(fault.seen, stage, log_before)
    deadline = time.monotonic() + STALL
    while not unseen.is_empty():
        assert time.monotonic() < deadline, f"not seen: {unseen}; {rig.status}"
        for part in fault.during:
            if isinstance(part, Frames):
                for offset in part.offsets:
                    stage.send(part, offset)
                    rig.spin_for(0.05)
            else:
                injector.act(part)
        rig.spin_for(0.05)
    for act in fault.after:
        injector.act(act)
    recovery = stage.answered_frame(fault.recovery)
    memory = injector.peak_memory() - peak_before
    assert stage.process.process.poll() is None, f"the node has ended: {stage.log_text()[-2000:]}"
    assert recovery <= fault.recovery, f"not answered by frame {fault.recovery}; {rig.status}"
    assert memory <= fault.memory, f"{memory:.0f} MiB more, at most {fault.memory:.0f}"
    news = stage.log_text()[log_before:] if fault.name != "killed" else ""
    assert "Traceback" not in news, news
    assert not _CONTROL.search(news), repr(news)
    return Outcome(fault, recovery, memory)


class _Unseen:
    """What of a fault has not been seen yet."""

    def __init__(self, seen: Seen, stage: Stage, log_before: int) -> None:
        self._stage, self._log_before = stage, log_before
        self._counts = {name: stage.rig.count(name) for name in seen.counts}
        self._rest = seen

    def is_empty(self) -> bool:
        """Take off what is seen now; return whether nothing is left."""
        rest, rig = self._rest, self._stage.rig
        level, message = rig.verdict()
        words = f"{message} {rig.values().get('last problem', '')}"
        counts = tuple(name for name in rest.counts if rig.count(name) <= self._counts[name])
        judged = rest.level in (None, level) and rest.words in words
        logged = rest.log in self._stage.log_text()[self._log_before :]
        refused = any(rest.refused in sentence for sentence in self._stage.injector.refusals)
        self._rest = replace(
            rest,
            counts=counts,
            level=None if judged else rest.level,
            words="" if judged else rest.words,
            log="" if logged else rest.log,
            refused="" if refused else rest.refused,
        )
        return self._rest == Seen()

    def __str__(self) -> str:
        return str(self._rest)


class Stages:
    """The shared nodes, each replaced by a new one where a fault was not withstood."""

    def __init__(self, folder: Path, kinds: Iterable[str]) -> None:
        """Start them at once: most of their start is the import of PyTorch."""
        self._folder = folder
        self.checkpoint = folder / "tiny.safetensors"
        save_checkpoint(
            self.checkpoint, replace(lively_checkpoint(), density_threshold=EVERYTHING)
        )
        self.shared = {kind: self._start(kind) for kind in sorted(set(kinds) - {OWN})}
        for stage in self.shared.values():
            stage.open()

    def _start(self, fault_or_kind: Fault | str) -> Stage:
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        return Stage(logs, fault_or_kind, self.checkpoint)

    def run(self, fault: Fault) -> Outcome:
        """Run a fault; arguments and errors are those of `run_fault`."""
        if fault.node == OWN:
            stage = self._start(fault)
            try:
                stage.open()
                return run_fault(fault, stage)
            finally:
                stage.close()
        try:
            return run_fault(fault, self.shared[fault.node])
        except BaseException:
            self.shared[fault.node].close()
            self.shared[fault.node] = self._start(fault.node)
            self.shared[fault.node].open()
            raise

    def close(self) -> None:
        """End all nodes."""
        for stage in self.shared.values():
            stage.close()


def table(outcomes: Mapping[str, str] | None = None) -> str:
    """Return the table of faults in Markdown.

    Args:
        outcomes: The last cell of each row by its name; None: what is promised.
    """
    rows = ["| fault | what is injected | what is seen | answered with frame |", "| - " * 4 + "|"]
    for fault in FAULTS:
        seen, last = fault.seen, f"{fault.recovery}"
        parts = [*(f"`{c}` rises" for c in seen.counts)]
        parts += [f"message: {seen.words}"] if seen.words else []
        parts += [f"log: {seen.log.strip()}"] if seen.log else []
        parts += ["refused with a sentence"] if seen.refused else []
        if outcomes is not None:
            last = outcomes.get(fault.title, "not run")
        rows.append(f"| {fault.title} | {fault.injected} | {'; '.join(parts)} | {last} |")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """Run the faults that the arguments name, and print the table with what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="rows to run; none: all")
    parser.add_argument("--table", action="store_true", help="print the table, run nothing")
    options, write = parser.parse_args(argv), sys.stdout.write
    if options.table:
        write(table() + "\n")
        return 0
    chosen = [BY_NAME[name] for name in options.names] or list(FAULTS)
    outcomes: dict[str, str] = {}
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        stages = Stages(Path(temporary), {fault.node for fault in chosen})
        try:
            for fault in chosen:
                try:
                    outcome = stages.run(fault)
                except AssertionError as error:
                    failed += 1
                    outcomes[fault.title] = "FAILED"
                    write(f"{fault.title}: {error}\n")
                else:
                    outcomes[fault.title] = f"{outcome.recovery} of {fault.recovery}"
                    write(f"{fault.title}: answered with frame {outcome.recovery}\n")
                sys.stdout.flush()
        finally:
            stages.close()
    write(table(outcomes) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
