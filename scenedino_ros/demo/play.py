# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Plays a drive through the node: recorder, node and player as processes, from start to end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from scenedino_ros.core.outputs import BY_NAME, MAP, NODE, OUTPUTS, Output
from scenedino_ros.demo.drives import Drive
from scenedino_ros.demo.folders import shipped_file
from scenedino_ros.demo.processes import Child, child_environment
from scenedino_ros.demo.settings import (
    PlayerSettings,
    PlayResult,
    Progress,
    RecorderSettings,
    read_settings,
    write_settings,
)
from scenedino_ros.node.shared_memory import profile_name

_MODULES = {
    "recorder": "scenedino_ros.demo.recorder",
    "node": "scenedino_ros.node.main",
    "player": "scenedino_ros.demo.player",
}
_REPORT_PERIOD = 0.5  # seconds between the node's reports
_LAST_REPORT = 1.3  # seconds after the last image, so that a report counts it
_NODE_PATIENCE = 5.0
_WRITE_PATIENCE = 60.0  # the recorder may have much to write
_POLL = 0.1

Show = Callable[[str, int, int], None]  # current step, images played, images in all or 0


@dataclass(frozen=True)
class Plan:
    """What is played, and through which node.

    Attributes:
        folder: Folder of the run; gets ``recording`` and ``logs``.
        drive: What is played.
        domain: DDS domain of the processes.
        parameters: The node's parameters by group; those of the input and of the reports are
            those of the drive.
        info_file: File with a serialized CameraInfo that replaces the recorded ones, or empty.
        outputs: Names of the node's outputs that are subscribed to; empty: all of them.
        rate_hz: Images per second; 0: as recorded.
        frames: Images to play in all; 0: all.
        loops: How many times the drive is played.
        wait: Do not play an image before the node is done with the last one.
    """

    folder: Path
    drive: Drive
    domain: int
    parameters: dict[str, dict[str, object]]
    info_file: str = ""
    outputs: tuple[str, ...] = ()
    rate_hz: float = 0.0
    frames: int = 0
    loops: int = 1
    wait: bool = True

    @property
    def info_topic(self) -> str:
        """Topic on which the calibration is played."""
        return self.drive.info_topic or "/camera_info"

    @property
    def recording(self) -> Path:
        """Where the recording is."""
        return self.folder / "recording"


class Play:
    """The processes of one plan.

    Attributes:
        plan: What is played.
        problems: Sentences on what went wrong without ending the run.
    """

    def __init__(self, plan: Plan) -> None:
        """Start nothing yet."""
        self.plan = plan
        self.problems: list[str] = []
        self._children: list[Child] = []

    def run(self, show: Show, interrupted: Callable[[], bool]) -> None:
        """Start the processes, wait for the player, and end them; the recording is then whole.

        Args:
            show: Called with the progress.
            interrupted: Returns whether to end early.

        Raises:
            ProcessError: If one of the processes ended before its time.
        """
        (self.plan.folder / "logs").mkdir(exist_ok=True)
        env = child_environment(self.plan.domain, shipped_file(profile_name()))
        succeeded = False
        try:
            for name, arguments in (
                ("recorder", self._recorder_arguments()),
                ("node", self._node_arguments()),
                ("player", self._player_arguments()),
            ):
                log = self.plan.folder / "logs" / f"{name}.log"
                self._children.append(Child(name, _MODULES[name], arguments, log, env))
            self._follow(show, interrupted)
            succeeded = True
        finally:
            self._stop_all(succeeded)

    def result(self) -> PlayResult | None:
        """Return the player's result; None if it did not reach its end."""
        path = self._result_file
        return read_settings(path, PlayResult) if path.is_file() else None

    def _follow(self, show: Show, interrupted: Callable[[], bool]) -> None:
        """Show the progress until the player ends; raise if another process ends before it."""
        recorder, node, player = self._children
        while player.returncode is None and not interrupted():
            node.check()
            recorder.check()
            path = self._progress_file
            progress = read_settings(path, Progress) if path.is_file() else Progress("starting")
            show(progress.step, progress.sent, progress.total)
            time.sleep(_POLL)
        if interrupted():
            show("interrupted, ending", 0, 0)
            return
        if player.returncode != 0:
            raise player.ended()
        end = time.monotonic() + _LAST_REPORT
        while time.monotonic() < end and not interrupted():
            node.check()
            recorder.check()
            time.sleep(_POLL)

    def _stop_all(self, expect_success: bool) -> None:
        """End the player, then the node, then the recorder, which writes what has arrived."""
        patience = {"recorder": _WRITE_PATIENCE}
        for child in reversed(self._children):
            had_ended = child.returncode is not None
            willing = child.stop(patience.get(child.name, _NODE_PATIENCE))
            if not willing:
                self.problems.append(f"the {child.name} had to be killed")
            elif expect_success and not had_ended and child.returncode != 0:
                self.problems.append(str(child.ended()))

    def _recorder_arguments(self) -> list[str]:
        plan = self.plan
        inputs = (plan.drive.image_topic, plan.info_topic, "/tf", "/tf_static", "/diagnostics")
        prefixes = () if plan.outputs else (f"/{NODE}/",)
        settings = RecorderSettings(
            str(plan.recording), prefixes, (*inputs, *_topics(plan.outputs))
        )
        return [self._settings_file("recorder", settings)]

    def _player_arguments(self) -> list[str]:
        plan = self.plan
        last = _last_stamped(plan.outputs)
        settings = PlayerSettings(
            bag=str(plan.drive.bag),
            image_topic=plan.drive.image_topic,
            info_topic=plan.info_topic,
            info_file=plan.info_file,
            compressed=plan.drive.compressed,
            rate_hz=plan.rate_hz,
            frames=plan.frames,
            loops=plan.loops,
            wait=plan.wait,
            done_topic=last.topic(),
            done_type=last.type,
            recorded=_topics(plan.outputs),
            progress=str(self._progress_file),
            result=str(self._result_file),
        )
        return [self._settings_file("player", settings)]

    def _node_arguments(self) -> list[str]:
        drive = self.plan.drive
        parameters = {
            **self.plan.parameters,
            "input": {
                "transport": "compressed" if drive.compressed else "raw",
                "rectified": drive.rectified,
            },
            "diagnostics": {"period": _REPORT_PERIOD},
        }
        path = self.plan.folder / "logs" / "node.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}), encoding="utf-8")
        image = "image/compressed" if drive.compressed else "image"
        remaps = [
            "-r",
            f"{image}:={drive.image_topic}",
            "-r",
            f"camera_info:={self.plan.info_topic}",
        ]
        return ["--ros-args", "--params-file", str(path), *remaps]

    @property
    def _progress_file(self) -> Path:
        return self.plan.folder / "logs" / "progress.json"

    @property
    def _result_file(self) -> Path:
        return self.plan.folder / "logs" / "played.json"

    def _settings_file(self, name: str, settings: object) -> str:
        path = self.plan.folder / "logs" / f"{name}.json"
        write_settings(path, settings)
        return str(path)


def _topics(outputs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(BY_NAME[name].topic() for name in outputs)


def _last_stamped(names: tuple[str, ...]) -> Output:
    """Return the output with a stamp that is published last for an image: it is then done.

    The map is not among them: it has a rate of its own.
    """
    stamped = [o for o in OUTPUTS if o.needs not in ("", MAP) and o.has_stamp]
    return [output for output in stamped if not names or output.name in names][-1]
