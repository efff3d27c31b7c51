# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Names of checkpoints: the model of the package, untrained weights, and the published ones."""

from dataclasses import dataclass
from pathlib import Path

from scenedino_ros.core.cache_folder import cache_folder

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


def cached_file(name: str) -> Path:
    """Return the path of a published checkpoint's converted file, whether it exists or not."""
    return cache_folder() / f"{name}.safetensors"
