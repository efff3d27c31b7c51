"""Names of checkpoints: the package's own, no weights at all, and the published ones."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from scenedino_ros.core.errors import InputError

CHECKPOINT_FILE = "checkpoint.pt"
CONFIG_FILE = "training_config.yaml"
REPO_ID = "jev-aleks/SceneDINO"
LICENSE = (
    f"see https://huggingface.co/{REPO_ID}; trained on KITTI-360, which is CC BY-NC-SA 3.0 "
    "(non-commercial)"
)


DEFAULT, UNTRAINED = "default", "untrained"
DEFAULT_FILE = Path(__file__).resolve().parents[1] / "weights" / "default.safetensors"


@dataclass(frozen=True)
class Published:
    """One published checkpoint: its folder in the repository, and what it is."""

    folder: str
    weights: str


PUBLISHED = {
    "ssc-kitti-360-dino": Published(
        "seg-best-dino", "SceneDINO with DINO ViT-B/8, as published (trained on KITTI-360)"
    ),
    "ssc-kitti-360-dino-orb-slam": Published(
        "seg-best-dino-orb-slam",
        "SceneDINO with DINO ViT-B/8 and ORB-SLAM poses, as published (trained on KITTI-360)",
    ),
    "ssc-kitti-360-dinov2": Published(
        "seg-best-dinov2", "SceneDINO with DINOv2 ViT-B/14, as published (trained on KITTI-360)"
    ),
}


def cache_folder() -> Path:
    """Return where converted checkpoints are kept.

    ``SCENEDINO_CACHE`` names it; otherwise it is ``scenedino_ros`` in the user's cache
    (``XDG_CACHE_HOME``, by default ``~/.cache``).

    Raises:
        InputError: If none of these names a folder.
    """
    override = os.environ.get("SCENEDINO_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if override:
            return Path(override).expanduser()
        return (Path(base) if base else Path.home() / ".cache") / "scenedino_ros"
    except RuntimeError as error:
        raise InputError(
            "there is no folder for the cache, because HOME is not set and the user is unknown; "
            "set SCENEDINO_CACHE to a folder that is writable"
        ) from error


def make_cache_folder(*parts: str) -> Path:
    """Return the cache folder, or a folder in it, and make it where it is not there.

    Raises:
        InputError: If it cannot be made or written.
    """
    folder = cache_folder().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable, reason = os.access(folder, os.W_OK | os.X_OK), "it is not writable"
    except OSError as error:
        writable, reason = False, error.strerror or str(error)
    if not writable:
        raise InputError(
            f"the cache {folder} cannot be written ({reason}); set SCENEDINO_CACHE to a folder "
            "that is writable"
        )
    return folder


def cached_file(name: str) -> Path:
    """Return where the converted file of a published checkpoint lies or would lie."""
    return cache_folder() / f"{name}.safetensors"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
