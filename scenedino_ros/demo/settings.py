# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Settings, progress and results of the demo's processes: JSON files in the run's folder."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scenedino_ros.core.files import write_atomically

RECORDER = "scenedino_recorder"
PLAYER = "scenedino_player"

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class PlayerSettings:
    """What is played, and how.

    Attributes:
        bag: The recording.
        image_topic: Topic of the images, played under the same name.
        info_topic: Topic of the calibration, played under this name.
        info_file: File with a serialized CameraInfo that replaces the recorded ones, or empty.
        compressed: Whether the images are compressed.
        rate_hz: Images per second; 0: as recorded.
        frames: Images to play in all; 0: all.
        loops: How many times the recording is played.
        wait: Do not play an image before the node is done with the last one.
        done_topic: Topic of the node that is published last for an image.
        done_type: Its message type.
        recorded: Topics of the node that the recorder must have found; empty: all of them.
        progress: File that holds the `Progress`, written anew at each step.
        result: File to write the outcome to.
    """

    bag: str
    image_topic: str
    info_topic: str
    info_file: str
    compressed: bool
    rate_hz: float
    frames: int
    loops: int
    wait: bool
    done_topic: str
    done_type: str
    recorded: tuple[str, ...]
    progress: str
    result: str


@dataclass(frozen=True)
class RecorderSettings:
    """What is recorded.

    Attributes:
        output: Folder of the recording.
        prefixes: Topics whose names begin like this are recorded as soon as they appear.
        topics: Further topics.
    """

    output: str
    prefixes: tuple[str, ...]
    topics: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """How far the player is.

    Attributes:
        step: What it does, for people.
        sent: Images played so far.
        total: Images to play in all; 0: not known yet.
    """

    step: str
    sent: int = 0
    total: int = 0


@dataclass(frozen=True)
class PlayResult:
    """The result of playing.

    Attributes:
        sent: Images played.
        seconds: Time from the first image to the end, which may be the last answer.
        span: Time from the first image to the last, seconds.
        pauses: How often the player stopped the recording's clock to wait for the node.
        paused_seconds: How long it was stopped in all.
        unanswered: Images for whose answer the player stopped waiting.
    """

    sent: int
    seconds: float
    span: float
    pauses: int
    paused_seconds: float
    unanswered: int


def write_settings(path: Path, settings: Any) -> None:
    """Write one of the classes above as JSON."""
    text = json.dumps(dataclasses.asdict(settings), indent=2)
    write_atomically(path, text.encode("utf-8"))


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """Read what `write_settings` wrote."""
    values = json.loads(path.read_text(encoding="utf-8"))
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)
