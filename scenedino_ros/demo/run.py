"""One run of the demo: prepares a drive, plays it through the processes, and reports."""

import argparse
import os
import platform
import shutil
import time
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scenedino_ros.core.config import GridSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.voxels import OPTICAL_FRAME_PRESETS, VoxelGrid
from scenedino_ros.datasets.drive_writer import camera_info_cdr
from scenedino_ros.demo.folders import new_run_folder, point_latest_to, shipped_file
from scenedino_ros.demo.processes import (
    Child,
    ProcessError,
    child_environment,
)
from scenedino_ros.demo.recording import Measurements, measure
from scenedino_ros.demo.report import Report, print_report, write_report
from scenedino_ros.demo.settings import (
    NODE,
    SAYS,
    PlayerSettings,
    PlayResult,
    RecorderSettings,
    read_settings,
    write_settings,
)
from scenedino_ros.demo.show import Shown, draw_run
from scenedino_ros.demo.sources import INPUT, checkpoint_argument, given_calibration, make_drive
from scenedino_ros.ros.bag import BagReader
from scenedino_ros.ros.domains import reserve_domain
from scenedino_ros.ros.interrupt import Interrupt
from scenedino_ros.ros.placement import GridPlacement

TRANSPORT_PROFILE = "fastdds.xml"
LAYOUT = "foxglove_layout.json"
_LAYOUT_IMAGE_TOPIC = "/camera_00/image_rect/compressed"  # replaced by the drive's own
_LAYOUT_INFO_TOPIC = "/camera_00/camera_info"
_LAYOUT_FRAME = "base_link"
_REPORT_PERIOD = 0.5  # seconds between the node's reports
_LAST_REPORT = 1.3  # seconds after the last image, so that a report counts it
_NODE_PATIENCE = 5.0
_WRITE_PATIENCE = 60.0  # the recorder may have much to write
_POLL = 0.1


class Run:
    """The steps of one run, in order."""

    def __init__(self, args: argparse.Namespace, console: Console, interrupt: Interrupt) -> None:
        """Prepare nothing yet.

        Args:
            args: Parsed arguments.
            console: For people.
            interrupt: Tells when to end early.
        """
        self._args, self._console, self._interrupt = args, console, interrupt
        self._problems: list[str] = []
        self._children: list[Child] = []

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
        return 130 if self._interrupt.requested else 0

    def _prepare(self) -> None:
        """Make the drive and check everything that can be checked before a process starts."""
        args = self._args
        self._checkpoint = checkpoint_argument(args.checkpoint)
        with self._bar() as bar:
            tasks: dict[str, Any] = {}

            def progress(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done)

            self._drive = make_drive(args, self._folder, progress)
        self._grid_frame = args.grid_frame
        if not self._grid_frame and args.grid not in OPTICAL_FRAME_PRESETS:
            self._grid_frame = self._drive.body_frame
            if not self._grid_frame:
                raise InputError(
                    f"--grid {args.grid} needs --grid-frame, a frame of the drive's TF"
                )
        placement = GridPlacement(GridSettings(preset=args.grid, frame=self._grid_frame))
        self._grid: VoxelGrid = placement.grid
        self._info_file = self._write_calibration()
        self._domain = args.domain_id if args.domain_id >= 0 else reserve_domain()
        (self._folder / "logs").mkdir()

    def _write_calibration(self) -> str:
        camera = given_calibration(self._args, self._drive)
        if camera is None:
            return ""
        with BagReader(self._drive.bag) as reader:
            header = next(reader.messages([self._drive.image_topic])).message.header
        path = self._folder / "camera_info.cdr"
        path.write_bytes(camera_info_cdr(camera, header.frame_id, 0))
        return str(path)

    def _play(self) -> ProcessError | None:
        """Start the processes, wait for the player, and end them; return what went wrong."""
        self._recording = self._folder / "recording"
        profile = shipped_file(TRANSPORT_PROFILE)
        env = child_environment(self._domain, profile)
        failed = None
        try:
            recorder = self._start("recorder", self._recorder_arguments(), env)
            node = self._start("node", self._node_arguments(), env)
            player = self._start("player", self._player_arguments(), env)
            self._follow(player, node, recorder)
        except ProcessError as error:
            failed = error
        finally:
            self._stop_all(failed is None)
        return failed

    def _start(self, name: str, arguments: list[str], env: dict[str, str]) -> Child:
        modules = {"node": "scenedino_ros.ros.node"}
        module = modules.get(name, f"scenedino_ros.demo.{name}")
        child = Child(name, module, arguments, self._folder / "logs" / f"{name}.log", env)
        self._children.append(child)
        return child

    def _follow(self, player: Child, node: Child, recorder: Child) -> None:
        """Show the progress until the player ends, and notice a death.

        Raises:
            ProcessError: If one of the processes ended before its time.
        """
        with self._bar() as bar:
            task = bar.add_task("starting", total=None)
            while player.returncode is None and not self._interrupt.requested:
                node.check()
                recorder.check()
                said = [line for line in player.last_lines() if line.startswith(SAYS)]
                line = said[-1] if said else "starting"
                done, _, total = line.removeprefix("frame ").partition("/")
                if line.startswith("frame "):
                    bar.update(task, description="playing", completed=int(done), total=int(total))
                else:
                    bar.update(task, description=line)
                time.sleep(_POLL)
            if self._interrupt.requested:
                bar.update(task, description="interrupted, ending")
                return
            if player.returncode != 0:
                raise player.ended()
            end = time.monotonic() + _LAST_REPORT
            while time.monotonic() < end and not self._interrupt.requested:
                node.check()
                recorder.check()
                time.sleep(_POLL)

    def _stop_all(self, expect_success: bool) -> None:
        """End the player, then the node, then the recorder, which keeps what has arrived."""
        patience = {"recorder": _WRITE_PATIENCE}
        for child in reversed(self._children):
            had_ended = child.returncode is not None
            willing = child.stop(patience.get(child.name, _NODE_PATIENCE))
            if not willing:
                self._problems.append(f"the {child.name} had to be killed")
            elif expect_success and not had_ended and child.returncode != 0:
                self._problems.append(str(child.ended()))

    def _report(self) -> Report:
        if not self._recording.exists():  # the recorder did not get to its end
            partial = sorted(self._folder.glob(f"{self._recording.name}.partial*"))
            self._recording = (partial or [self._recording])[0]
        measured = measure(self._recording, self._drive.image_topic)
        problems = [*self._problems, *measured.problems]
        if self._interrupt.requested:
            problems.append("the run was interrupted")
        shown = Shown((), None, None, ())
        if self._args.pictures and not self._interrupt.requested:
            with self._bar() as bar:
                task = bar.add_task("drawing", total=None)
                shown = draw_run(
                    self._folder,
                    self._recording,
                    self._drive,
                    measured,
                    self._grid,
                    self._args.pictures,
                    lambda done, total: bar.update(task, completed=done, total=total),
                )
        result = self._folder / "logs" / "played.json"
        return Report(
            facts=self._facts(measured),
            measured=measured,
            played=read_settings(result, PlayResult) if result.is_file() else None,
            realtime=self._args.realtime,
            problems=problems,
            files=self._files(shown, measured),
            voxels=shown.voxels,
        )

    def _facts(self, measured: Measurements) -> dict[str, str]:
        drive, grid = self._drive, self._grid
        network = measured.reports.get("network", {})
        low = grid.origin
        high = [o + n * grid.voxel_size for o, n in zip(low, grid.shape, strict=True)]
        extent = ", ".join(f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        return {
            "drive": drive.name,
            "images": f"{drive.images} on {drive.image_topic}, recorded at {drive.rate_hz:.1f} Hz",
            "weights": measured.weights,
            "network": f"{network.get('image size', '?')} px, {network.get('precision', '?')}, "
            f"{network.get('mode', '?')}",
            "device": network.get("device", "?"),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
            "grid": f"{self._args.grid}: {' x '.join(map(str, grid.shape))} voxels of "
            f"{grid.voxel_size:g} m, {extent} m in {self._grid_frame or 'the camera frame'}",
            "memory of the node": f"{network.get('resident memory [MiB]', '?')} MiB resident",
            "DDS domain": str(self._domain),
        }

    def _files(self, shown: Shown, measured: Measurements) -> dict[str, str]:
        files = {"recording, for Foxglove and ros2 bag": self._recording.name}
        if (self._folder / INPUT).is_dir():
            files["recording made of the input"] = INPUT
        layout = shipped_file(LAYOUT)
        if layout is not None:
            text = layout.read_text(encoding="utf-8")
            text = text.replace(_LAYOUT_IMAGE_TOPIC, self._drive.image_topic)
            text = text.replace(_LAYOUT_INFO_TOPIC, self._info_topic())
            if _LAYOUT_FRAME not in measured.frames:
                shown_in = self._grid_frame or measured.camera_frame
                text = text.replace(f'"{_LAYOUT_FRAME}"', f'"{shown_in}"')
            (self._folder / LAYOUT).write_text(text, encoding="utf-8")
            files["layout for Foxglove"] = LAYOUT
        for name, path in (("animation", shown.animation), ("voxels of one frame", shown.mesh)):
            if path is not None:
                files[name] = path.name
        if shown.pictures:
            files[f"{len(shown.pictures)} pictures"] = "pictures"
        files["this report"] = "report.md"
        files["the same for programs"] = "report.json"
        files["what the processes said"] = "logs"
        return files

    def _recorder_arguments(self) -> list[str]:
        drive = self._drive
        topics = (drive.image_topic, self._info_topic(), "/tf", "/tf_static", "/diagnostics")
        settings = RecorderSettings(str(self._recording), (f"/{NODE}/",), topics)
        return [self._settings_file("recorder", settings)]

    def _player_arguments(self) -> list[str]:
        args, drive = self._args, self._drive
        settings = PlayerSettings(
            bag=str(drive.bag),
            image_topic=drive.image_topic,
            info_topic=self._info_topic(),
            info_file=self._info_file,
            compressed=drive.compressed,
            rate_hz=args.rate or 0.0,
            frames=args.frames,
            loops=args.loop,
            wait=not args.realtime,
            done_topic=f"/{NODE}/features/image",  # the last one that is published
            done_type="sensor_msgs/msg/Image",
            result=str(self._folder / "logs" / "played.json"),
        )
        return [self._settings_file("player", settings)]

    def _node_arguments(self) -> list[str]:
        args, drive = self._args, self._drive
        parameters = {
            "model": {
                "checkpoint": self._checkpoint,
                "device": args.device,
                "precision": args.precision,
                "mode": args.mode,
            },
            "input": {
                "transport": "compressed" if drive.compressed else "raw",
                "rectified": drive.rectified,
            },
            "grid": {"preset": args.grid, "frame": self._grid_frame},
            "voxels": {"density_threshold": float(args.threshold)},
            "diagnostics": {"period": _REPORT_PERIOD},
        }
        path = self._folder / "logs" / "node.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}), encoding="utf-8")
        image = "image/compressed" if drive.compressed else "image"
        remaps = [
            "-r",
            f"{image}:={drive.image_topic}",
            "-r",
            f"camera_info:={self._info_topic()}",
        ]
        return ["--ros-args", "--params-file", str(path), *remaps]

    def _info_topic(self) -> str:
        return self._drive.info_topic or "/camera_info"

    def _settings_file(self, name: str, settings: Any) -> str:
        path = self._folder / "logs" / f"{name}.json"
        write_settings(path, settings)
        return str(path)

    def _bar(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        return Progress(*columns, console=self._console, transient=True)
