"""How many bytes the frames of synthetic drives take, about, before any is rendered."""

from collections.abc import Sequence

from scenedino_ros.synthesis.layout import VOXEL_STRIDE
from scenedino_ros.synthesis.render import RenderSettings

# Bytes of PNG per pixel of rendered streets: colour, classes, depth. Fisheyes have empty corners.
_COLOR, _FISHEYE_COLOR, _LABEL, _DEPTH = 1.7, 1.2, 0.06, 0.6
_VOXELS = 256 * 256 * 32 * (2 + 1 + 4)  # raw ids, whether invalid, and the benchmark's labels


def frame_bytes(settings: RenderSettings, outputs: Sequence[str], *, voxels: bool) -> float:
    """Return about how many bytes one frame takes, the mean over all frames.

    Args:
        settings: Cameras and how they are rendered.
        outputs: ``bags``, ``folders`` or both.
        voxels: Whether folders get voxels.
    """
    total = 0.0
    for camera in settings.rig.rig().values():
        pinhole = camera.calibrated.pinhole
        color = _FISHEYE_COLOR if camera.is_fisheye else _COLOR
        per_pixel = len(outputs) * (color + _LABEL)
        if "bags" in outputs and not camera.is_fisheye:
            per_pixel += _DEPTH
        total += per_pixel * pinhole.width * pinhole.height
    return total + (_VOXELS / VOXEL_STRIDE if voxels and "folders" in outputs else 0)
