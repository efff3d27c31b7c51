# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Numbers of the papers, to stand beside ours.

Sources: SceneDINO (Jevtić, Reich et al., arXiv:2507.06230), S4C (Hayler et al., arXiv:2310.07522).
None where no source gives the number legibly.
"""

from typing import NamedTuple

_NONE = (None, None, None)
Triple = tuple[float | None, float | None, float | None]


class PublishedSsc(NamedTuple):
    """A row of the table of SSCBench-KITTI-360 test, percent at 12.8, 25.6 and 51.2 m."""

    method: str
    miou: Triple
    iou: Triple = _NONE
    precision: Triple = _NONE
    recall: Triple = _NONE


SSC_ROWS = (
    PublishedSsc(
        "S4C (classes from labels)",
        (16.94, 13.94, 10.19),
        (54.64, 45.57, 39.35),
        (59.75, 50.34, 43.59),
        (86.47, 82.79, 80.16),
    ),
    PublishedSsc("S4C + STEGO", (10.53, 9.26, 6.60)),
    PublishedSsc("SceneDINO, DINO", (10.76, 10.01, 8.00), (49.54, 42.27, 37.60)),
    PublishedSsc("SceneDINO, DINOv2", (13.76, 11.78, 9.08)),
    PublishedSsc("SceneDINO, DINO, poses of ORB-SLAM3", (10.88, 9.86, 7.88)),
    PublishedSsc("SceneDINO, DINO, linear probe", (None, None, 9.34)),
    PublishedSsc("SceneDINO, DINOv2, linear probe", (15.85, 13.70, 10.57)),
)
# Class IoU of S4C in percent at 12.8, 25.6 and 51.2 m, classes 1..15.
S4C_CLASSES: tuple[tuple[float, float, float], ...] = (
    (22.58, 18.64, 11.49),
    (0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0),
    (7.51, 4.37, 2.12),
    (0.0, 0.01, 0.06),
    (0.0, 0.0, 0.0),
    (69.38, 61.46, 48.23),
    (45.03, 37.12, 28.45),
    (26.34, 28.48, 21.36),
    (9.70, 6.37, 3.64),
    (35.78, 28.04, 21.43),
    (35.03, 22.88, 15.08),
    (1.23, 0.94, 0.65),
    (1.57, 0.83, 0.36),
    (0.0, 0.0, 0.0),
)


class PublishedSegmentation(NamedTuple):
    """A row of the tables of 2D segmentation, percent, after a dense CRF."""

    method: str
    accuracy: float | None
    miou: float


SEGMENTATION = {
    "KITTI-360": (
        PublishedSegmentation("U2Seg", 72.89, 23.43),
        PublishedSegmentation("STEGO, DINO", 73.32, 23.57),
        PublishedSegmentation("SceneDINO, DINO", 77.74, 25.81),
    ),
    "Cityscapes val": (
        PublishedSegmentation("U2Seg", 75.57, 18.62),
        PublishedSegmentation("STEGO, DINO", 71.21, 19.42),
        PublishedSegmentation("STEGO, DINOv2", 78.41, 19.73),
        PublishedSegmentation("S4C + STEGO", 54.80, 14.04),
        PublishedSegmentation("SceneDINO, DINO, trained on KITTI-360", 73.17, 22.81),
    ),
    "BDD val": (
        PublishedSegmentation("U2Seg", 69.00, 17.99),
        PublishedSegmentation("STEGO, DINO", 75.02, 21.41),
        PublishedSegmentation("STEGO, DINOv2", 65.72, 21.77),
        PublishedSegmentation("S4C + STEGO", 44.98, 11.62),
        PublishedSegmentation("SceneDINO, DINO, trained on KITTI-360", 72.28, 22.09),
    ),
}


class PublishedConsistency(NamedTuple):
    """A row of the table of feature consistency, aligned with RAFT large."""

    features: str
    l1: float | None
    l2: float | None
    cosine: float | None


CONSISTENCY = {
    "KITTI-360": (
        PublishedConsistency("SceneDINO (DINO)", None, 0.33, 0.93),
        PublishedConsistency("DINOv2", 15.83, 0.73, 0.70),
        PublishedConsistency("FiT3D + DINOv2 side by side", 22.86, 0.81, 0.82),
        PublishedConsistency("FiT3D", 7.02, 0.33, 0.93),
        PublishedConsistency("SceneDINO (DINOv2)", 5.24, 0.24, 0.96),
    ),
    "RealEstate10K": (
        PublishedConsistency("SceneDINO (DINO)", None, 0.28, None),
        PublishedConsistency("DINOv2", 14.20, 0.66, None),
        PublishedConsistency("FiT3D + DINOv2 side by side", 19.88, 0.72, None),
        PublishedConsistency("FiT3D", 5.67, 0.27, None),
        PublishedConsistency("SceneDINO (DINOv2)", 4.87, 0.22, None),
    ),
}
