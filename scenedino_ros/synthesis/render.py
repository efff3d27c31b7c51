"""All frames of a drive, rendered by several processes."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterator

from scenedino_ros.synthesis.drive import StreetDrive
from scenedino_ros.synthesis.raycast import RenderedFrame, SceneRenderer
from scenedino_ros.synthesis.street import make_street


def render_drive(drive: StreetDrive, workers: int = 0) -> Iterator[RenderedFrame]:
    """Yield all frames of a drive in order.

    Args:
        drive: What to render.
        workers: Processes that render; 0: one per core, at most four; 1: this process.
    """
    workers = min(workers or min(os.cpu_count() or 1, 4), drive.frames)
    if workers == 1:
        renderer = _renderer(drive)
        for frame in range(drive.frames):
            yield _render(drive, renderer, frame)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(drive,)
    ) as pool:
        yield from pool.map(_render_in_worker, range(drive.frames))


def _renderer(drive: StreetDrive) -> SceneRenderer:
    length = drive.frames * drive.speed / drive.rate_hz
    return SceneRenderer(make_street(drive.seed, length), threads=1)


def _render(drive: StreetDrive, renderer: SceneRenderer, frame: int) -> RenderedFrame:
    return renderer.render(drive.camera, drive.T_world_base(frame) @ drive.T_base_cam)


_worker: list[tuple[StreetDrive, SceneRenderer]] = []


def _start_worker(drive: StreetDrive) -> None:
    _worker.append((drive, _renderer(drive)))


def _render_in_worker(frame: int) -> RenderedFrame:
    drive, renderer = _worker[0]
    return _render(drive, renderer, frame)
