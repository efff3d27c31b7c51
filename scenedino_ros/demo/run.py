# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""One run of the demo: prepares a drive, plays it through the processes, and reports."""

import argparse
import os
import platform
import shutil

from rich.console import Console

from scenedino_ros.core.config import GridSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.demo.domains import reserve_domain
from scenedino_ros.demo.drives import Drive
from scenedino_ros.demo.folders import new_run_folder, point_latest_to, shipped_file
from scenedino_ros.demo.play import Plan, Play
from scenedino_ros.demo.processes import ProcessError
from scenedino_ros.demo.recording import Measurements, measure
from scenedino_ros.demo.report import Report, print_report, silence, write_report
from scenedino_ros.demo.show import Shown, draw_run
from scenedino_ros.demo.show_map import ShownMap, draw_map
from scenedino_ros.demo.sources import (
    INPUT,
    checkpoint_argument,
    grid_frame,
    make_drive,
    write_calibration,
)
from scenedino_ros.node.interrupt import Interrupt
from scenedino_ros.node.placement import GridPlacement
from scenedino_ros.terminal.progress import counting, counting_stages

LAYOUT = "foxglove_layout.json"
_LAYOUT_IMAGE_TOPIC = "/camera_00/image_rect/compressed"  # replaced by the drive's own
_LAYOUT_INFO_TOPIC = "/camera_00/camera_info"
_LAYOUT_FRAME = "base_link"
MAP_RATE_HZ = 2.0  # of the map's outputs


class Run:
    """The steps of one run, in order."""

    def __init__(self, args: argparse.Namespace, console: Console, interrupt: Interrupt) -> None:
        """Prepare nothing yet.

        Args:
            args: Parsed arguments.
            console: For people.
            interrupt: Knows when to end early.
        """
        self._args, self._console, self._interrupt = args, console, interrupt

    def execute(self) -> int:
        """Run everything; return the exit code.

        Raises:
            SceneDinoError: If the drive cannot be prepared, or nothing was recorded.
        """
        self._folder = new_run_folder(self._args.output)
        try:
            with self._interrupt.raising():
                self._prepare()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        point_latest_to(self._folder)
        failed = self._play()
        report = self._report()
        write_report(report, self._folder)
        print_report(report, self._folder, self._console)
        if failed is not None:
            self._console.print(f"error: {failed}", style="bold red", markup=False)
            return 1
        if self._interrupt.requested:
            return 130
        if nothing := silence(report):
            log = self._folder / "logs" / "node.log"
            self._console.print(f"error: {nothing} ({log})", style="bold red", markup=False)
            return 1
        if left_out := self._drive.left_out:
            count = f"{left_out} of {left_out + self._drive.images}"
            self._console.print(f"error: {count} images are left out", style="bold red")
            return 1
        return 0

    def _prepare(self) -> None:
        """Make the drive and check everything that can be checked before a process starts."""
        args = self._args
        self._checkpoint = checkpoint_argument(args.checkpoint)
        with counting_stages("preparing the drive") as progress:
            self._drive = make_drive(args, self._folder, progress)
        if args.loop > 1 and 0 < args.frames <= self._drive.images:
            raise InputError(
                "--frames counts the images of all loops, so with --loop it must be more than the "
                f"{self._drive.images} images of the drive, got {args.frames}"
            )
        self._grid_frame = grid_frame(args.grid, args.grid_frame, self._drive)
        placement = GridPlacement(GridSettings(preset=args.grid, frame=self._grid_frame))
        self._grid: VoxelGrid = placement.grid
        self._map: dict[str, object] = map_parameters(self._drive) if args.map else {}
        self._info_file = write_calibration(args, self._drive, self._folder)
        self._domain = args.domain_id if args.domain_id >= 0 else reserve_domain()

    def _play(self) -> ProcessError | None:
        """Play the drive through the node; return what went wrong."""
        args = self._args
        names = ("device", "precision", "mode", "engine")
        model = {"checkpoint": self._checkpoint, **{name: getattr(args, name) for name in names}}
        plan = Plan(
            folder=self._folder,
            drive=self._drive,
            domain=self._domain,
            parameters={
                "model": model,
                "grid": {"preset": args.grid, "frame": self._grid_frame},
                "voxels": {
                    "density_threshold": float(args.threshold),
                    "exposed_only": not args.all_voxels,
                },
                **({"map": self._map} if self._map else {}),
            },
            info_file=self._info_file,
            rate_hz=args.rate or 0.0,
            frames=args.frames,
            loops=args.loop,
            wait=not args.realtime,
        )
        self._playing = Play(plan)
        with counting_stages("starting") as progress:
            try:
                self._playing.run(progress, lambda: self._interrupt.requested)
            except ProcessError as error:
                return error
        return None

    def _report(self) -> Report:
        self._recording = self._playing.plan.recording
        if not self._recording.exists():  # the recorder did not get to its end
            partial = sorted(self._folder.glob(f"{self._recording.name}.partial*"))
            self._recording = (partial or [self._recording])[0]
        measured = measure(self._recording, self._drive.image_topic)
        problems = [*self._playing.problems, *measured.problems]
        if self._interrupt.requested:
            problems.append("the run was interrupted")
        shown, shown_map = Shown((), None, None, ()), None
        if self._args.pictures and not self._interrupt.requested:
            with counting("drawing", "pictures") as progress:
                shown = draw_run(
                    self._folder,
                    self._recording,
                    self._drive,
                    measured,
                    self._grid,
                    self._args.pictures,
                    progress,
                )
            if self._map:
                shown_map = draw_map(self._folder, self._recording, self._drive, measured)
        return Report(
            facts=self._facts(measured, shown_map),
            measured=measured,
            played=self._playing.result(),
            realtime=self._args.realtime,
            problems=problems,
            files=self._files(shown, shown_map, measured),
            voxels=shown.voxels,
        )

    def _facts(self, measured: Measurements, shown_map: ShownMap | None) -> dict[str, str]:
        drive, grid = self._drive, self._grid
        network = measured.reports.get("network", {})
        low = grid.origin
        high = [o + n * grid.voxel_size for o, n in zip(low, grid.shape, strict=True)]
        extent = ", ".join(f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        return {
            "drive": drive.name,
            "images": f"{drive.images} on {drive.image_topic}, recorded at {drive.rate_hz:.1f} Hz",
            "weights": measured.weights,
            "network": f"{network.get('image size', '?')} px, {network.get('engine', '?')}, "
            f"{network.get('mode', '?')}",
            "device": network.get("device", "?"),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
            "grid": f"{self._args.grid}: {' x '.join(map(str, grid.shape))} voxels of "
            f"{grid.voxel_size:g} m, {extent} m in {self._grid_frame or 'the camera frame'}",
            "map": self._map_fact(shown_map),
            "first answer": f"{network.get('first answer [s]', '?')} s after the node started",
            "memory of the node": f"{network.get('resident memory [MiB]', '?')} MiB resident",
            "DDS domain": str(self._domain),
        }

    def _map_fact(self, shown: ShownMap | None) -> str:
        if not self._args.map:
            return "none: --no-map"
        if self._drive.map_frames is None:
            return "none: the drive's TF has no moving frame above the camera"
        fixed, robot = self._drive.map_frames
        voxels = f", {shown.voxels} voxels at the end" if shown else ""
        return f"in {fixed}, moving with {robot}{voxels}"

    def _files(
        self, shown: Shown, shown_map: ShownMap | None, measured: Measurements
    ) -> dict[str, str]:
        files = {"recording, for Foxglove and ros2 bag": self._recording.name}
        if (self._folder / INPUT).is_dir():
            files["recording made of the input"] = INPUT
        layout = shipped_file(LAYOUT)
        if layout is not None:
            text = layout.read_text(encoding="utf-8")
            text = text.replace(_LAYOUT_IMAGE_TOPIC, self._drive.image_topic)
            text = text.replace(_LAYOUT_INFO_TOPIC, self._playing.plan.info_topic)
            if _LAYOUT_FRAME not in measured.frames:
                shown_in = self._grid_frame or measured.camera_frame
                text = text.replace(f'"{_LAYOUT_FRAME}"', f'"{shown_in}"')
            (self._folder / LAYOUT).write_text(text, encoding="utf-8")
            files["layout for Foxglove"] = LAYOUT
        for name, path in (("animation", shown.animation), ("voxels of one frame", shown.mesh)):
            if path is not None:
                files[name] = path.name
        if shown_map:
            files["the map at the end, from above and from behind the robot"] = shown_map.map.name
            files["what a robot can drive on or hits: the map's occupancy grid"] = (
                shown_map.grid.name
            )
            files["animation of map and occupancy grid growing"] = shown_map.animation.name
        if shown.pictures:
            files[f"{len(shown.pictures)} pictures"] = "pictures"
        files["this report"] = "report.md"
        files["the same for programs"] = "report.json"
        files["logs of the processes"] = "logs"
        return files


def map_parameters(drive: Drive) -> dict[str, object]:
    """Return the node's parameters for a map of a drive; none where the drive has no poses."""
    if drive.map_frames is None:
        return {}
    return {
        "frame": drive.map_frames.fixed,
        "robot_frame": drive.map_frames.robot,
        "ground_height": float(drive.ground_height),
        "rate": MAP_RATE_HZ,
    }
