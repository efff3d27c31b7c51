"""A folder of images from any calibrated camera."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from scenedino_ros.core.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images in the order of their names, all of one size.

    Attributes:
        paths: Image files.
        width: Columns.
        height: Rows.
    """

    paths: tuple[Path, ...]
    width: int
    height: int


def read_image_folder(folder: Path) -> ImageFolder:
    """List the images of a folder; the first one tells the size.

    Raises:
        InputError: If the folder has no image, or the first cannot be read.
    """
    folder = Path(folder)
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = tuple(path for path in files if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"no images ({', '.join(SUFFIXES)}) in {folder}")
    height, width = read_rgb(paths[0]).shape[:2]
    return ImageFolder(paths, width, height)


def read_rgb(path: Path) -> np.ndarray:
    """Return an image file as (H, W, 3) uint8 RGB, as stored (EXIF rotation is not applied).

    Raises:
        InputError: If the file cannot be read or is no image.
    """
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputError(f"image {path} cannot be read: {error}") from error
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imdecode(content, flags) if content.size else None
    if bgr is None:
        raise InputError(f"image {path} cannot be decoded ({content.size} bytes)")
    return np.ascontiguousarray(bgr[..., ::-1])
