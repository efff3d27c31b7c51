# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Renders the frames of drives in several processes; their number does not change the result."""

import concurrent.futures
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.spawning import WorkerContext
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.pixel_rays import PixelRays
from scenedino_ros.streets.raycast import RenderedFrame, SceneRenderer
from scenedino_ros.streets.rig import RigCamera, RigSettings

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RenderSettings:
    """What is rendered for every frame.

    Attributes:
        rig: The cameras.
        rays_per_pixel: Rays whose colours are averaged: 1, 2 or 4.
        fisheye_crop: Render of fisheye images only what the virtual pinhole camera of the
            published training sees; the rest stays black.
    """

    rig: RigSettings = RigSettings()
    rays_per_pixel: int = 4
    fisheye_crop: bool = False


def render_frame(
    drive: StreetDrive, settings: RenderSettings, frame: int
) -> dict[str, RenderedFrame]:
    """Return what the cameras see at a frame, by name; all depends on the arguments alone."""
    renderer, T_world_base = drive_renderer(drive, frame), drive.T_world_base(frame)
    return {
        name: renderer.render(rays, T_world_base @ camera.T_base_cam)
        for name, (camera, rays) in rig_rays(settings).items()
    }


def render_drive(
    drive: StreetDrive,
    settings: RenderSettings | None = None,
    workers: int = 0,
    *,
    first: int = 0,
) -> Iterator[dict[str, RenderedFrame]]:
    """Yield the frames of a drive in order, by camera.

    Args:
        drive: The drive.
        settings: What is rendered; None: everything, at the usual size.
        workers: Processes that render; 0: one per core, at most four; 1: this process.
        first: Number of the first frame.
    """
    render = functools.partial(render_frame, drive, settings or RenderSettings())
    yield from in_processes(render, range(first, drive.frames), workers)


def in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int = 0
) -> Generator[Result, None, None]:
    """Yield the results of jobs in their order; closing the iterator drops the jobs not begun.

    Args:
        work: Can be pickled, as can jobs and results.
        jobs: The jobs.
        workers: Processes; 0: one per core, at most four; 1: this process.

    Raises:
        InputError: If a process was ended from outside.
    """
    workers = min(workers or usual_workers(), len(jobs))
    if workers <= 1:
        yield from map(work, jobs)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=WorkerContext(), initializer=_start_worker
    )
    try:
        yield from pool.map(work, jobs)
    except BrokenProcessPool as error:
        raise InputError(
            "a process that renders was ended from outside, perhaps for want of memory; fewer "
            "--workers need less"
        ) from error
    finally:
        with _interrupts_ignored():
            pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C: a second one would leave workers that wait, and this process for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def usual_workers() -> int:
    """Return the usual number of rendering processes: one per core, at most four."""
    return min(os.cpu_count() or 1, 4)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def drive_renderer(drive: StreetDrive, frame: int) -> SceneRenderer:
    """Return the renderer of a drive's street at a frame; the last one is kept."""
    return _renderer(drive, frame if drive.moving_cars else 0)


@functools.lru_cache(maxsize=1)
def _renderer(drive: StreetDrive, frame: int) -> SceneRenderer:
    return SceneRenderer(drive.scene_at(frame), threads=1)


@functools.lru_cache(maxsize=1)
def rig_rays(settings: RenderSettings) -> dict[str, tuple[RigCamera, PixelRays]]:
    """Return cameras and the rays of their pixels by name; the last ones are kept."""
    return {
        name: (camera, camera.rays(settings.rays_per_pixel, crop=settings.fisheye_crop))
        for name, camera in settings.rig.rig().items()
    }
