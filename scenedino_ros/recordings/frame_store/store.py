# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads a frame store: the network input images, poses and labels of one drive, by index.

Decoding and resampling happen once. Afterwards a frame costs a memory-mapped read. A store is a
folder with ``store.json`` and one ``.npy`` file per camera and quantity; it can be made again
from its recording at any time. `build` makes it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import DISTANCE
from scenedino_ros.core.reading import read_array, read_json, reading, require_file
from scenedino_ros.recordings.poses import pose_jumps

FORMAT = 1
NO_LABEL = 255
INDEX = "store.json"
POSES, POSES_OF = "T_world_body.npy", "T_world_body_{}.npy"
KINDS = {  # quantity: (type, channels)
    "image": (np.uint8, 3),
    "label": (np.uint8, 0),
    "depth": (np.float16, 0),
}
_MISSING_FROM = 1.5  # usual steps in time, from which on frames are missing
_APART = 100.0  # metres between two frames, from which on they show nothing in common


def file_stem(camera: str) -> str:
    """Return a camera's name as part of a file's name, different for different cameras.

    Names without a slash stay as they are, as in the stores of versions that had no others.
    """
    return camera.replace("%", "%25").replace("/", "%2F")


@dataclass(frozen=True, eq=False)
class StoredCamera:
    """A camera of a store.

    Attributes:
        name: Such as ``camera_00`` or ``rig/front``.
        K_norm: (3, 3) intrinsics of the stored images for coordinates in [-1, 1].
        T_body_cam: (4, 4) camera (optical frame) to body, metres.
    """

    name: str
    K_norm: np.ndarray
    T_body_cam: np.ndarray


class FrameStore:
    """Random access to the frames of one drive. All cameras have an image for every frame.

    Attributes:
        path: Folder of the store.
        image_size: (height, width) of all images, pixels.
        cameras: Cameras by name.
        stamps_ns: (N,) times of the frames, nanoseconds, ascending.
        T_world_body: (N, 4, 4) body to world at those times, metres.
        source: Where the frames come from.
    """

    def __init__(self, path: Path) -> None:
        """Open a store.

        Raises:
            InputError: If there is no complete store of this format.
        """
        self.path = Path(path)
        self._arrays: dict[tuple[str, str], np.ndarray | None] = {}
        with reading(str(path), failure="is not a frame store"):
            index = read_json(self.path / INDEX)
            if index.get("format") != FORMAT:
                raise InputError(
                    f"{path} must be a frame store of format {FORMAT}, got {index.get('format')}"
                )
            height, width = map(int, index["image_size"])
            self.image_size = (height, width)
            self.source: dict[str, Any] = dict(index["source"])
            self.cameras = {
                name: StoredCamera(name, _matrix(c["K_norm"], 3), _matrix(c["T_body_cam"], 4))
                for name, c in index["cameras"].items()
            }
            self.stamps_ns = np.array(index["stamps_ns"], dtype=np.int64).reshape(-1)
            self.T_world_body = self._poses(POSES)
            self._camera_poses = {
                name: self._poses(file) if (self.path / file).exists() else self.T_world_body
                for name in self.cameras
                for file in (POSES_OF.format(file_stem(name)),)
            }

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def image(self, camera: str, frame: int) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB image of a camera at a frame."""
        found = self._array("image", camera)
        if found is None:
            raise InputError(f"{self.path} has no images of {camera}")
        return found[frame]

    def label(self, camera: str, frame: int) -> np.ndarray | None:
        """Return (H, W) uint8 train ids, 255 where there is none; None without labels."""
        found = self._array("label", camera)
        return None if found is None else found[frame]

    def depth(self, camera: str, frame: int) -> np.ndarray | None:
        """Return (H, W) float16 z-depth in metres, 0 where unknown; None without depth."""
        found = self._array("depth", camera)
        return None if found is None else found[frame]

    def T_world_cam(self, camera: str, frame: int) -> np.ndarray:
        """Return the (4, 4) float64 pose of a camera when it took its image of a frame.

        Cameras that are not triggered together take theirs at slightly different times.
        """
        return self._camera_poses[camera][frame] @ self.cameras[camera].T_body_cam

    def travelled(self) -> np.ndarray:
        """Return the (N,) distance the body has moved since the first frame, metres."""
        steps = np.linalg.norm(np.diff(self.T_world_body[:, :3, 3], axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    def breaks(self) -> np.ndarray:
        """Find where the drive is not continuous.

        Returns:
            (N,) bool, True where a frame does not continue the one before it: the first one,
            those after missing frames, those to which the pose jumps, and those too far from it to
            show the same.
        """
        steps = np.diff(self.stamps_ns)
        late = steps > _MISSING_FROM * np.median(steps) if steps.size else steps.astype(bool)
        far = np.linalg.norm(np.diff(self.T_world_body[:, :3, 3], axis=0), axis=1) > _APART
        jumps = pose_jumps(self.stamps_ns, self.T_world_body)
        return np.concatenate([[True], late | far | jumps])

    def _poses(self, file: str) -> np.ndarray:
        poses, expected = read_array(self.path / file), (len(self.stamps_ns), 4, 4)
        if poses.ndim == 3 and len(poses) != len(self.stamps_ns):
            raise InputError(
                f"{self.path} must have a pose for each of its {len(self.stamps_ns)} frames, "
                f"got {len(poses)}"
            )
        if poses.shape != expected or poses.dtype != np.float64:
            raise InputError(
                f"{self.path / file} must be float64 of shape {expected}, got {poses.dtype} of "
                f"{poses.shape}"
            )
        if not (np.abs(poses) <= DISTANCE).all():  # nor are NaN
            raise InputError(
                f"{self.path / file} must hold finite poses of at most {DISTANCE:g} m, and holds "
                "others"
            )
        return poses

    def _array(self, kind: str, camera: str) -> np.ndarray | None:
        key = (kind, camera)
        if key not in self._arrays:
            path = self.path / f"{kind}_{file_stem(camera)}.npy"
            if not path.exists():
                self._arrays[key] = None
                return None
            with reading(str(path)):
                require_file(path)
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            dtype, channels = KINDS[kind]
            shape = (len(self), *self.image_size, *((channels,) if channels else ()))
            if array.dtype != dtype or array.shape != shape:
                raise InputError(
                    f"{path} must be {np.dtype(dtype)} of shape {shape}, "
                    f"got {array.dtype} of {array.shape}"
                )
            self._arrays[key] = array
        return self._arrays[key]


def _matrix(values: object, size: int) -> np.ndarray:
    """Return a stored (size, size) matrix; others are no camera's."""
    matrix = np.array(values, dtype=np.float64)
    if matrix.shape != (size, size) or not np.isfinite(matrix).all():
        raise ValueError(f"a matrix must be {size} x {size} finite numbers, got {values}")
    return matrix
