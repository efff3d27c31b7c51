# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs the predictor over image files, skipping what is finished."""

import dataclasses
import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.camera_file import camera_from_yaml
from scenedino_ros.cameras.from_msg import rgb_from_compressed
from scenedino_ros.cameras.image import ImagePreprocessor
from scenedino_ros.cameras.plausibility import (
    camera_from_intrinsics,
    camera_warnings,
)
from scenedino_ros.cli.results import (
    Prediction,
    result_folders,
    why_not_finished,
    write_results,
)
from scenedino_ros.core.config import RenderSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import MESSAGE_BYTES
from scenedino_ros.core.labels import SKY
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import read_bytes, reading
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.inference.empty_grid import why_empty
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage, RenderedView, VoxelQuery
from scenedino_ros.inference.similarity import VoxelFeatures
from scenedino_ros.terminal.progress import counting, reporting
from scenedino_ros.viewing.similarity_panel import similarity_panel
from scenedino_ros.viewing.threshold_panel import threshold_panel

_DOWNSCALE = 2  # of the rendered images against the network input image


@dataclass(frozen=True, eq=False)
class Job:
    """What to predict, with which camera and network, and where results go.

    Attributes:
        images: Image files, all of one camera.
        output: Folder that gets one folder per image.
        intrinsics: (fx, fy, cx, cy) in pixels of undistorted images, or None.
        camera_info: Calibration file, where there are no intrinsics.
        rectified: Whether to take P of the calibration file.
        network: The network.
        grid: Where to look for voxels.
        T_grid_cam: (4, 4) camera pose in the grid's frame, None: the grid is the camera's.
        threshold: Density from which a voxel is occupied, 1/m; None: the checkpoint's.
        thresholds: Densities to draw the voxels at, side by side, 1/m; None: no such picture.
        grow: Whether a voxel takes the highest density of its 3x3x3 neighbourhood.
        exposed_only: Whether voxels are left out all of whose face neighbours are occupied.
        similar_to: Column and row of the pixel that all others are compared with; None: none is.
        force: Whether finished images are predicted again.
    """

    images: list[Path]
    output: Path
    intrinsics: tuple[float, float, float, float] | None
    camera_info: Path | None
    rectified: bool
    network: NetworkChoice
    grid: VoxelGrid
    T_grid_cam: np.ndarray | None
    threshold: float | None
    thresholds: tuple[float, ...] | None
    grow: bool
    exposed_only: bool
    similar_to: tuple[float, float] | None
    force: bool


def run_job(job: Job, *, keep_going: bool) -> int:
    """Predict every image that is not finished.

    Args:
        job: What to predict.
        keep_going: Whether a bad image is reported and the next one taken, or is an error.

    Returns:
        0, or 1 if images failed.

    Raises:
        SceneDinoError: If nothing can be predicted at all, or an image fails and `keep_going` is
            not set.
    """
    if job.output.exists() and not job.output.is_dir():
        raise InputError(f"--output must be a folder, got the file {job.output}")
    with reporting("looking at the checkpoint") as report:
        camera = _camera(job)
        job.network.find(report)
        job.network.check_mode()
        _check_pixel(job, camera)
        query = _query(job)
        settings = _settings(job, camera, query)
        todo, failed = _unfinished(job, settings, keep_going=keep_going)
        if not todo:
            print(f"nothing to do: {len(job.images) - failed} finished, {failed} not")
            return 1 if failed else 0
        report("building the network")
        predictor = job.network.predictor(report=report)
    print(f"weights: {predictor.weights}; device: {predictor.device}, {predictor.engine}")
    warned: set[str] = set()
    with counting("predicting", "images") as progress:
        for done, (image, folder) in enumerate(todo.items(), start=1):
            start = time.perf_counter()
            try:
                voxels = _predict(job, query, camera, predictor, settings, image, folder, warned)
            except InputError as error:
                if not keep_going:
                    raise InputError(f"image {image}: {error}") from error
                failed += 1
                print(f"image {printable(image)}: {error}", file=sys.stderr)
            else:
                seconds = time.perf_counter() - start
                threshold = query.threshold(predictor.density_threshold)
                why = "" if len(voxels) else f": {why_empty(voxels, threshold, job.T_grid_cam)}"
                print(f"{printable(folder)}: {len(voxels)} voxels in {seconds:.1f} s{why}")
            progress(done, len(todo))
    if failed:
        print(f"{failed} of {len(job.images)} images failed", file=sys.stderr)
    return 1 if failed else 0


def _unfinished(
    job: Job, settings: dict[str, Any], *, keep_going: bool
) -> tuple[dict[Path, Path], int]:
    """Return the unfinished images with their folders, and how many folders are blocked."""
    todo: dict[Path, Path] = {}
    blocked = 0
    for image, folder in result_folders(job.images, job.output).items():
        if job.force or not folder.exists():
            todo[image] = folder
            continue
        problem = why_not_finished(folder, {**settings, "image": _sha256(_read(image))})
        if problem and not keep_going:
            raise InputError(problem)
        if problem:
            blocked += 1
            print(problem, file=sys.stderr)
    return todo, blocked


def _predict(
    job: Job,
    query: VoxelQuery,
    camera: CalibratedCamera,
    predictor: Predictor,
    settings: dict[str, Any],
    image: Path,
    folder: Path,
    warned: set[str],
) -> SemanticVoxels:
    """Predict one file, write its folder, and return its voxels; each warning is printed once."""
    content = _read(image)
    rgb = _decode(image, content)
    encoded = predictor.encode(rgb, camera)
    rig, T_grid_cam = predictor.training_rig, job.T_grid_cam
    for kind, warning in camera_warnings(camera, encoded, rig, job.grid, T_grid_cam).items():
        if kind not in warned:
            warned.add(kind)
            print(f"warning: {warning}", file=sys.stderr)
    hidden = predictor.classes.ids((SKY,)) if SKY in predictor.classes.names else ()
    query = dataclasses.replace(query, hidden=hidden)
    voxels = predictor.voxels(encoded, job.grid, job.T_grid_cam, query)
    view = predictor.render(
        encoded,
        downscale=_DOWNSCALE,
        n_samples=RenderSettings.n_samples,
        unbounded=True,
        semantic=True,
    )
    pictures = {}
    if job.thresholds:
        # What is exposed at a higher threshold may be enclosed at the lowest one.
        lowest = dataclasses.replace(
            query, density_threshold=min(job.thresholds), exposed_only=False
        )
        pictures["thresholds.png"] = threshold_panel(
            encoded.rgb,
            view.depth,
            predictor.voxels(encoded, job.grid, job.T_grid_cam, lowest),
            job.thresholds,
            predictor.classes,
            T_grid_cam=job.T_grid_cam,
            camera=encoded.camera,
            title=image.name,
            weights=predictor.weights,
        )
    if job.similar_to is not None:
        panel = _similarity(job, job.similar_to, camera, predictor, encoded, voxels, view, image)
        if panel is not None:
            pictures["similarity.png"] = panel
    write_results(
        folder,
        Prediction(rgb, camera, encoded, voxels, view, job.T_grid_cam, pictures),
        predictor.classes,
        title=image.name,
        weights=predictor.weights,
        settings={**settings, "image": _sha256(content)},
    )
    return voxels


def _similarity(
    job: Job,
    pixel: tuple[float, float],
    camera: CalibratedCamera,
    predictor: Predictor,
    encoded: EncodedImage,
    voxels: SemanticVoxels,
    view: RenderedView,
    image: Path,
) -> np.ndarray | None:
    """Draw what is similar to a pixel; where it shows no surface, print that and return None."""
    place = ImagePreprocessor(predictor.image_size, job.network.fit).locate(camera, pixel)
    column, row = (part // _DOWNSCALE for part in place)
    assert view.depth is not None
    depth = view.depth[row, column]
    what = f"{printable(image.name)}, pixel {pixel[0]:g}, {pixel[1]:g}"
    if not np.isfinite(depth):
        print(f"{what}: nothing is there, the ray meets no surface", file=sys.stderr)
        return None
    if not len(voxels):
        print(f"{what}: no voxel is occupied, so nothing is compared", file=sys.stderr)
        return None
    x, y, z = depth * (np.linalg.inv(view.camera.K) @ (column, row, 1))
    print(f"{what}: compared with the surface at ({x:.1f}, {y:.1f}, {z:.1f}) m before the camera")
    features = VoxelFeatures(predictor, encoded, voxels, job.T_grid_cam)
    rendered = predictor.rendered_features(encoded, downscale=_DOWNSCALE)
    of_pixels = features.similarity(rendered[row, column], rendered)
    of_pixels[~np.isfinite(view.depth)] = np.nan
    return similarity_panel(
        encoded.rgb,
        place,
        of_pixels,
        voxels,
        features.similarity(rendered[row, column]),
        T_grid_cam=job.T_grid_cam,
        camera=encoded.camera,
        title=f"{image.name}: similar to pixel {pixel[0]:g}, {pixel[1]:g}",
        weights=predictor.weights,
    )


def _query(job: Job) -> VoxelQuery:
    threshold = job.network.density_threshold if job.threshold is None else job.threshold
    return VoxelQuery(threshold, job.grow, exposed_only=job.exposed_only)


def _settings(job: Job, camera: CalibratedCamera, query: VoxelQuery) -> dict[str, Any]:
    """Return what the result of an image depends on, besides the image, as plain values."""
    pinhole = camera.pinhole
    return {
        "camera": {
            "K": camera.K.tolist(),
            "size": [pinhole.width, pinhole.height],
            "distortion_model": camera.distortion_model,
            "D": camera.D.tolist(),
        },
        **job.network.settings(),
        "grid": dataclasses.asdict(job.grid),
        "T_grid_cam": None if job.T_grid_cam is None else job.T_grid_cam.tolist(),
        **dataclasses.asdict(query),
        **({"thresholds": list(job.thresholds)} if job.thresholds else {}),
        **({"similar_to": list(job.similar_to)} if job.similar_to else {}),
    }


def _check_pixel(job: Job, camera: CalibratedCamera) -> None:
    if job.similar_to is None:
        return
    size = (camera.pinhole.width, camera.pinhole.height)
    if not all(0 <= place <= end - 1 for place, end in zip(job.similar_to, size, strict=True)):
        raise InputError(
            f"--similar-to must be in 0 to {size[0] - 1}, 0 to {size[1] - 1} px, "
            f"got {job.similar_to[0]:g}, {job.similar_to[1]:g}"
        )


def _camera(job: Job) -> CalibratedCamera:
    """Return the one camera of all images; intrinsics get the size of the first readable one."""
    if job.camera_info is not None:
        return camera_from_yaml(job.camera_info, rectified=job.rectified)
    for number, image in enumerate(job.images, start=1):
        try:
            height, width = _decode(image, _read(image)).shape[:2]
            break
        except InputError as error:
            if number == len(job.images):
                raise InputError(f"image {image}: {error}") from error
    assert job.intrinsics is not None
    return camera_from_intrinsics(job.intrinsics, width, height)


def _decode(image: Path, content: bytes) -> np.ndarray:
    message = SimpleNamespace(format=image.suffix[1:].lower(), data=content)
    return rgb_from_compressed(message)


def _read(path: Path) -> bytes:
    with reading(str(path)):
        return read_bytes(path, MESSAGE_BYTES)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
