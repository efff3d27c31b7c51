# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A folder of synthetic drives: its settings, what is done, and making the rest."""

import contextlib
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.parameter_tree import named_values
from scenedino_ros.core.reading import read_json, reading
from scenedino_ros.recordings.datasets.kitti360_folders import sequence_name
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.drive_folders import VOXEL_STRIDE, DriveFolders
from scenedino_ros.streets.lidar import scan_points
from scenedino_ros.streets.raycast import RenderedFrame
from scenedino_ros.streets.record import DriveRecorder, recorded_frames
from scenedino_ros.streets.render import (
    RenderSettings,
    drive_renderer,
    in_processes,
    render_frame,
)
from scenedino_ros.streets.rig import T_BASE_VELO
from scenedino_ros.streets.voxels import FrameVoxels, drive_voxels

SETTINGS_FILE = "synthesis.json"
VERSION = 1  # raise when the same settings give other drives
BAGS, FOLDERS = "bags", "folders"
Progress = Callable[[int, int], None]  # frames done, frames in all
Job = tuple[StreetDrive, int]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The images and the ground truth of one frame.

    Attributes:
        images: What the cameras see, by name.
        scan: (N, 4) float32 points of the LiDAR; None: not asked for.
        voxels: The grid; None: not asked for, or a frame without voxels.
    """

    images: dict[str, RenderedFrame]
    scan: np.ndarray | None = None
    voxels: FrameVoxels | None = None


@dataclass(frozen=True)
class DatasetSettings:
    """All that the content of a drive depends on, besides its seed.

    Attributes:
        frames: Frames of each drive.
        rate_hz: Frames per second.
        speed: Metres per second.
        render: Cameras and how they are rendered.
        moving_cars: Number of cars that move along the lanes.
    """

    frames: int = 100
    rate_hz: float = StreetDrive.rate_hz
    speed: float = StreetDrive.speed
    render: RenderSettings = RenderSettings()
    moving_cars: int = 0

    def drive(self, seed: int) -> StreetDrive:
        """Return the drive of a seed."""
        return StreetDrive(seed, self.frames, self.rate_hz, self.speed, self.moving_cars)


class SyntheticDataset:
    """Drives by seed under one folder, all of the same settings.

    Attributes:
        path: The folder.
        settings: The settings.
    """

    def __init__(self, path: Path, settings: DatasetSettings) -> None:
        """Begin a data set, or resume one.

        Raises:
            InputError: If the folder's drives were made with other settings.
        """
        self.path, self.settings = Path(path), settings
        ours = json.dumps({"version": VERSION, **dataclasses.asdict(settings)}, indent=1)
        file = self.path / SETTINGS_FILE
        if file.exists():
            _refuse_other_settings(file, json.loads(ours))
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(file, (ours + "\n").encode())

    def bag(self, seed: int) -> Path:
        """Return the folder of a drive's recording."""
        return self.path / "bags" / drive_name(seed)

    @property
    def kitti360(self) -> Path:
        """The root of KITTI-360's folders."""
        return self.path / "kitti360"

    def make(
        self,
        seeds: Sequence[int],
        outputs: Sequence[str] = (BAGS,),
        *,
        voxels: bool = True,
        workers: int = 0,
        progress: Progress | None = None,
    ) -> int:
        """Make what is missing of some drives; return how many frames were rendered for it.

        Args:
            seeds: The drives.
            outputs: What they become: ``bags``, ``folders`` or both.
            voxels: Fill the benchmark's grid at every 5th frame, for the folders.
            workers: Processes; 0: one per core, at most four.
            progress: Called with the number of frames done, earlier ones too, and their number in
                all.

        Raises:
            BagError: If an unfinished recording is damaged, or written by another process.
        """
        drives = [self.settings.drive(seed) for seed in seeds]
        voxels = voxels and FOLDERS in outputs
        todo = {d: range(self._done(d, outputs, voxels), d.frames) for d in drives}
        jobs = [(drive, number) for drive in drives for number in todo[drive]]
        total = sum(drive.frames for drive in drives)
        done = itertools.count(total - len(jobs) + 1)
        work = functools.partial(_render, self.settings.render, FOLDERS in outputs, voxels)
        with contextlib.closing(in_processes(work, jobs, workers)) as rendered:
            for drive, numbers in todo.items():
                with self._writing(drive, outputs) as write:
                    for number in numbers:
                        write(number, next(rendered))
                        if progress:
                            progress(next(done), total)
        return len(jobs)

    def missing(
        self, seeds: Sequence[int], outputs: Sequence[str], *, voxels: bool
    ) -> list[range]:
        """Return the frames of each drive that are still to be rendered, as for `make`."""
        drives = [self.settings.drive(seed) for seed in seeds]
        voxels = voxels and FOLDERS in outputs
        return [range(self._done(drive, outputs, voxels), drive.frames) for drive in drives]

    def render_some(self, seed: int, numbers: Iterable[int], outputs: Sequence[str]) -> None:
        """Render frames of a drive and keep nothing, to measure the time.

        Args:
            seed: The drive.
            numbers: Of the frames; those beyond the last are its first ones again.
            outputs: As for `make`; voxels are not filled.
        """
        drive = self.settings.drive(seed)
        for number in numbers:
            job = (drive, number % drive.frames)
            _render(self.settings.render, FOLDERS in outputs, False, job)

    def fill_some(self, seed: int, numbers: Iterable[int]) -> None:
        """Fill grids of a drive's frames and keep nothing; arguments as for `render_some`."""
        drive = self.settings.drive(seed)
        for number in numbers:
            drive_voxels(drive, number % drive.frames)

    def _done(self, drive: StreetDrive, outputs: Sequence[str], voxels: bool) -> int:
        """Return how many frames of a drive need not be rendered again."""
        done = drive.frames
        if BAGS in outputs:
            path = self.bag(drive.seed)
            done = min(done, recorded_frames(path, drive, self.settings.render))
        if FOLDERS in outputs:
            done = min(done, self._folders(drive).done(voxels=voxels))
        return done

    def _folders(self, drive: StreetDrive) -> DriveFolders:
        name, rig = sequence_name(drive.seed), self.settings.render.rig
        return DriveFolders(self.kitti360, name, drive, rig)

    @contextlib.contextmanager
    def _writing(
        self, drive: StreetDrive, outputs: Sequence[str]
    ) -> Iterator[Callable[[int, GroundTruth], None]]:
        """Yield a function that writes a frame, given its number; then finish the drive."""
        folders = self._folders(drive) if FOLDERS in outputs else None
        with contextlib.ExitStack() as stack:
            recorder = None
            if BAGS in outputs and not self.bag(drive.seed).exists():
                recorder = DriveRecorder(self.bag(drive.seed), drive, self.settings.render)
                stack.enter_context(recorder)

            def write(number: int, truth: GroundTruth) -> None:
                if recorder and number >= recorder.done:
                    recorder.write(truth.images)
                if folders and truth.scan is not None:
                    folders.write(number, truth.images, truth.scan, truth.voxels)

            yield write
        if folders:
            folders.close()


def drive_name(seed: int) -> str:
    """Return the name of a drive's recording."""
    return f"street_{seed:04d}"


def _render(settings: RenderSettings, with_scan: bool, with_voxels: bool, job: Job) -> GroundTruth:
    drive, number = job
    images = render_frame(drive, settings, number)
    T_world_velo = drive.T_world_base(number) @ T_BASE_VELO
    scan = scan_points(drive_renderer(drive, number), T_world_velo) if with_scan else None
    voxels = None
    if with_voxels and number % VOXEL_STRIDE == 0:
        voxels = drive_voxels(drive, number)
    return GroundTruth(images, scan, voxels)


def _refuse_other_settings(file: Path, ours: dict[str, object]) -> None:
    with reading(str(file)):
        theirs = read_json(file)
    # Drives made before cars could move are those without moving cars.
    mine, other = dict(named_values(ours)), {"moving_cars": 0, **dict(named_values(theirs))}
    differing = [key for key in {**mine, **other} if mine.get(key) != other.get(key)]
    if differing:
        key = differing[0]
        raise InputError(
            f"the drives in {file.parent} were made with {key} {other.get(key)}, "
            f"got {mine.get(key)}; choose another folder"
        )
