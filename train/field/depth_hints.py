# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Depth hints: distances of pixels by classical matching of the images of a drive.

A photometric loss has many local minima along a ray; a hint gives the distance of the surface.
Hints need no labels: images of a camera with a rectified stereo partner are matched with those of
the partner, images of any other camera with its own images before and after. Many pixels have no
hint, and some hints are wrong.

Source: Watson et al., Self-Supervised Monocular Depth Hints, ICCV 2019, for the idea.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.frame_arrays import FrameArray, array_name, drive_key
from train.field.items import View
from train.field.plane_sweep import GrayView, agreeing_depth, pixel_directions, plane_sweep

_NEAREST = 0.6  # factor on the nearest depth of interest; stereo pairs are matched up to it
_MIN_BASELINE = 0.1  # metres
_BLOCK = 5  # pixels
_SOURCE_STEPS = (-6.0, -4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 6.0)  # metres along the drive
_CHECK_STEPS = (-4.0, -2.0, 2.0, 4.0)
_STEP_TOLERANCE = 0.5  # relative


class DepthHints:
    """The hints of one drive, on disk."""

    def __init__(self, folder: Path, store: FrameStore, depth_range: tuple[float, float]) -> None:
        """Open or create the hints of a drive.

        Args:
            folder: Holds the hints of all drives.
            store: The drive.
            depth_range: Nearest and farthest distance of interest, metres.
        """
        self._store, self._range = store, depth_range
        near, far = depth_range
        self._folder = Path(folder) / f"hints_{drive_key(store)}_{near:g}_{far:g}"
        self._travelled, self._part = store.travelled(), np.cumsum(store.breaks())
        self._arrays: dict[str, FrameArray] = {}

    def distance(self, view: View) -> np.ndarray:
        """Return (H, W) float16 distances along the rays, metres; 0 where there is no hint."""
        array = self._array(view.camera)
        if array.has(view.frame):
            return array.read(view.frame)
        return np.zeros(self._store.image_size, np.float16)

    def distances(self, views: Sequence[View], level: int, mirrored: bool) -> torch.Tensor:
        """Return the (V, h, w) float32 distances of views at a level of the image pyramid.

        A pixel of the level gets the hint at its centre; a mean would mix surfaces.

        Args:
            views: The views.
            level: Factor by which images are averaged down.
            mirrored: Whether the images are mirrored.
        """
        full = torch.from_numpy(np.stack([self.distance(view) for view in views])).float()
        full = full.flip(-1) if mirrored else full
        height, width = (edge // level for edge in full.shape[-2:])
        return full[:, level // 2 :: level, level // 2 :: level][:, :height, :width]

    def missing(self, camera: str, frames: Sequence[int]) -> list[int]:
        """Return those of some frames of a camera whose hints are missing."""
        array = self._array(camera)
        return [frame for frame in frames if not array.has(frame)]

    def missing_bytes(self, camera: str, frames: Sequence[int]) -> int:
        """Return how many bytes the missing hints of frames take; a sweep needs two arrays."""
        height, width = self._store.image_size
        arrays = 1 if self._partner(camera) else 2
        return len(self.missing(camera, frames)) * arrays * height * width * 2

    def fill(self, camera: str, frames: Sequence[int]) -> Iterator[int]:
        """Compute the missing hints of some frames of a camera.

        A sweep is checked against those of its neighbours among the frames, so that no other frame
        is swept; the frames should be at most 4 m apart.

        Args:
            camera: Name of the camera.
            frames: The frames that get hints, ascending.

        Yields:
            1 after each image.
        """
        K_norm = self._store.cameras[camera].K_norm
        to_distance = np.linalg.norm(pixel_directions(K_norm, *self._store.image_size), axis=-1)
        baseline = self._partner(camera)
        for frame in self.missing(camera, frames):
            depth = (
                self._matched(camera, *baseline, frame)
                if baseline
                else self._swept(camera, frame, frames)
            )
            self._array(camera).write(frame, depth * to_distance)
            yield 1

    def match_once(self, camera: str, frame: int) -> None:
        """Match one image as `fill` does, without keeping the result, to measure the time.

        `fill` sweeps each image once and checks it against its neighbours; here the image itself
        takes the place of the neighbours.
        """
        partner = self._partner(camera)
        if partner:
            self._matched(camera, *partner, frame)
            return
        depth, T_world_cam = self._sweep(camera, frame), self._store.T_world_cam(camera, frame)
        others = [
            (depth, self._store.T_world_cam(camera, other))
            for other in self._neighbours(frame, _CHECK_STEPS, range(len(self._store)))
        ]
        agreeing_depth(depth, T_world_cam, others, self._store.cameras[camera].K_norm)

    def _array(self, camera: str, ending: str = "") -> FrameArray:
        name = array_name(camera, ending)
        if name not in self._arrays:
            self._arrays[name] = FrameArray(self._folder, name, len(self._store))
        return self._arrays[name]

    def _partner(self, camera: str) -> tuple[str, float] | None:
        """Return the stereo partner of a camera and its offset to the right, metres."""
        store, found = self._store, []
        own_K = store.cameras[camera].K_norm
        for other in store.cameras:
            T = np.linalg.inv(store.T_world_cam(camera, 0)) @ store.T_world_cam(other, 0)
            x, y, z = T[:3, 3]
            same = np.allclose(store.cameras[other].K_norm, own_K, atol=1e-4)
            parallel = np.allclose(T[:3, :3], np.eye(3), atol=1e-3)
            if same and parallel and abs(x) > _MIN_BASELINE and abs(x) > 50 * max(abs(y), abs(z)):
                found.append((other, float(x)))
        return min(found, key=lambda pair: abs(pair[1]), default=None)

    def _matched(self, camera: str, partner: str, x: float, frame: int) -> np.ndarray:
        """Return the z-depth of an image by matching it with its partner's, `x` metres aside."""
        images = [np.array(self._store.image(name, frame)) for name in (camera, partner)]
        if x < 0:  # OpenCV wants the left one first
            images = [np.ascontiguousarray(image[:, ::-1]) for image in images]
        focal = self._store.cameras[camera].K_norm[0, 0] * images[0].shape[1] / 2
        depth = pair_depth(images[0], images[1], focal * abs(x), self._range)
        return depth if x > 0 else depth[:, ::-1]

    def _swept(self, camera: str, frame: int, frames: Sequence[int]) -> np.ndarray:
        """Return the z-depth of an image that its neighbours among some frames agree with."""
        K_norm = self._store.cameras[camera].K_norm
        others = [
            (self._raw_depth(camera, other), self._store.T_world_cam(camera, other))
            for other in self._neighbours(frame, _CHECK_STEPS, frames)
        ]
        T_world_cam = self._store.T_world_cam(camera, frame)
        return agreeing_depth(self._raw_depth(camera, frame), T_world_cam, others, K_norm)

    def _raw_depth(self, camera: str, frame: int) -> np.ndarray:
        """Return the z-depth of an image before it is compared with that of others."""
        array = self._array(camera, "_raw")
        if not array.has(frame):
            array.write(frame, self._sweep(camera, frame))
        return array.read(frame).astype(np.float32)

    def _sweep(self, camera: str, frame: int) -> np.ndarray:
        """Return the z-depth of an image by matching it with its neighbours in time."""
        others = self._neighbours(frame, _SOURCE_STEPS, range(len(self._store)))
        sources = [self._gray(camera, other) for other in others]
        K_norm = self._store.cameras[camera].K_norm
        return plane_sweep(self._gray(camera, frame), sources, K_norm, self._range)

    def _gray(self, camera: str, frame: int) -> GrayView:
        image = np.array(self._store.image(camera, frame))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        return GrayView(gray, self._store.T_world_cam(camera, frame))

    def _neighbours(
        self, frame: int, steps: tuple[float, ...], frames: Sequence[int]
    ) -> list[int]:
        """Return those of some frames that are about these distances further along, each once."""
        among = np.asarray(frames)
        moved = self._travelled[among] - self._travelled[frame]
        # Poses are not comparable across a pose jump.
        moved[self._part[among] != self._part[frame]] = np.inf
        found = [(int(np.abs(moved - step).argmin()), step) for step in steps]
        near = (i for i, step in found if abs(moved[i] - step) <= _STEP_TOLERANCE * abs(step))
        return list(dict.fromkeys(int(among[i]) for i in near))


def pair_depth(
    left: np.ndarray, right: np.ndarray, focal_baseline: float, depth_range: tuple[float, float]
) -> np.ndarray:
    """Return the (H, W) float32 z-depth of the left image of a pair, metres; 0 where unknown.

    Args:
        left: (H, W, 3) uint8 image.
        right: (H, W, 3) uint8 image of the same camera, moved along its x axis.
        focal_baseline: Focal length times baseline, pixels times metres.
        depth_range: Nearest and farthest depth of interest, metres.
    """
    most = int(np.ceil(focal_baseline / (_NEAREST * depth_range[0]) / 16)) * 16
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=most,
        blockSize=_BLOCK,
        P1=8 * 3 * _BLOCK**2,
        P2=32 * 3 * _BLOCK**2,
        disp12MaxDiff=1,
        preFilterCap=31,
        uniquenessRatio=8,
        speckleWindowSize=80,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    # The matcher gives no result in as many left columns as there are disparities.
    wider = [cv2.copyMakeBorder(i, 0, 0, most, 0, cv2.BORDER_REPLICATE) for i in (left, right)]
    disparity = matcher.compute(*wider)[:, most:].astype(np.float32) / 16
    known = disparity > focal_baseline / depth_range[1]
    return np.where(known, focal_baseline / np.where(known, disparity, 1), 0).astype(np.float32)
