"""Numbers of the papers for the tables of images, to stand beside ours.

Source: SceneDINO (Jevtić, Reich et al., arXiv:2507.06230). None where our copy is not legible.
"""

from typing import NamedTuple


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
