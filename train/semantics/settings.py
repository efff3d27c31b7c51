"""Everything that decides a run of stage 2. The defaults are the published recipe.

Three savings are on by default that leave its expectations as they are: distances for the choice
of crops on every fourth pixel, clusters and probes learned from random pixels, and crops kept in
half precision. ``train/configs/semantics_plain.yaml`` turns them off.
"""

from dataclasses import dataclass, field

from scenedino_ros.core.config import setting
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from train.runs.settings import RunSettings
from train.semantics.crops import N_BINS


@dataclass(frozen=True)
class ImageSettings:
    """Which images are looked at, one at a time."""

    stores: tuple[str, ...] = setting((), "Frame stores to learn from; patterns with * are fine")
    validation: tuple[str, ...] = setting(
        (), "Frame stores with labels that name and score the clusters; never learned from"
    )
    cameras: tuple[str, ...] = setting(
        ("camera_00",), "Cameras whose labels the probes learn from, where a drive has them"
    )
    side_cameras: tuple[str, ...] = setting(
        ("camera_02", "camera_03"), "Cameras that are looked at without labels"
    )
    side_share: float = setting(
        0.5, "Share of the steps that look at side cameras, if any drive has them", low=0, high=1
    )
    every: int = setting(1, "Look at every n-th frame of a drive", low=1)
    cache_mb: int = setting(
        2000,
        "Memory for feature maps that may come again, in half precision; 0: none are kept",
        unit="MiB",
        low=0,
    )


@dataclass(frozen=True)
class CropSettings:
    """Neighbourhoods of surface points, and how they are compared."""

    stride: int = setting(4, "Distances are rendered for every n-th pixel of both axes", low=1)
    samples: int = setting(32, "Samples per ray", low=2)
    points: int = setting(576, "Points of a crop", low=1)
    radius: float = setting(0.5, "Radius of a crop", unit="m", low=0.0)
    memory: int = setting(256, "Crops kept to draw partners from", low=6)
    half: bool = setting(True, "Keep them in half precision")
    neighbours: int = setting(4, "Nearest crops the neighbour is drawn from", low=1)
    dropout: float = setting(0.1, "Share of feature and code channels dropped", low=0.0, high=0.9)
    centred: bool = setting(
        False, "Compare features without the mean feature; needed where all features are alike"
    )


@dataclass(frozen=True)
class HeadSettings:
    """The semantic head, and how it learns."""

    code_dim: int = setting(64, "Channels of the distilled code", low=1)
    clusters: int = setting(19, "Pseudo classes; more than classes share names", low=1)
    mlp_probe: bool = setting(False, "Give the probes a hidden layer")
    start: str = setting(
        "random",
        "The code before the first step: random, or the mean feature removed and the strongest "
        "directions weakened",
        choices=("random", "whitened"),
    )
    distil: bool = setting(True, "Learn the code from correlations; if not, it stays as it starts")
    cluster_by: str = setting(
        "gradient",
        "Centres follow the gradient from a random start, or are found anew by spherical k-means "
        "whenever the clusters are named",
        choices=("gradient", "kmeans"),
    )
    learning_rate: float = setting(5e-4, "Of the code", low=0.0)
    probe_factor: float = setting(10.0, "Learning rate of clusters and probes over it", low=0.0)
    pixels: int = setting(
        4096, "Random pixels of an image that clusters and probes learn from; 0: all", low=0
    )


@dataclass(frozen=True)
class NamingSettings:
    """How clusters get the names of classes, from labels of the validation drives."""

    images: int = setting(32, "Labelled images that are looked at, drawn at the start", low=1)
    stride: int = setting(4, "Every n-th pixel of both axes is looked at", low=1)
    every: int = setting(100, "Steps between namings", low=1, live=True)
    cover: str = setting(
        "all",
        "Classes that get a cluster in any case: all, as published; those with labelled pixels; "
        "or none, and every cluster gets the class it shows most",
        choices=("all", "labelled", "none"),
    )
    unseen: bool = setting(
        False, "Name clusters that no labelled drive shows after the labelled one most like them"
    )


@dataclass(frozen=True)
class SampleSettings:
    """Pixels of the drives that are learned from, drawn once, where many are needed at a time."""

    images: int = setting(64, "Images they come from", low=1)
    pixels: int = setting(20_000, "Number of pixels", low=1)


@dataclass(frozen=True)
class SemanticsSettings:
    """A run of stage 2."""

    checkpoint: str = setting(
        "", "The network of stage 1, a file or a name; a semantic head it has is replaced"
    )
    run: RunSettings = field(
        default_factory=lambda: RunSettings(steps=1000, save_every=100, picture_every=100)
    )
    data: ImageSettings = field(default_factory=ImageSettings)
    crops: CropSettings = field(default_factory=CropSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    naming: NamingSettings = field(default_factory=NamingSettings)
    sample: SampleSettings = field(default_factory=SampleSettings)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            InputError: Naming the settings, what was expected and what came.
        """
        classes = len(CITYSCAPES19)
        if self.naming.cover == "all" and self.head.clusters < classes:
            raise InputError(
                f"{classes} classes need as many clusters, got {self.head.clusters} in "
                "head.clusters with naming.cover all"
            )
        if self.crops.memory <= self.crops.neighbours:
            raise InputError(
                f"crops.memory must exceed crops.neighbours, {self.crops.neighbours}, "
                f"got {self.crops.memory}"
            )
        most = N_BINS * self.run.batch_size
        if self.crops.memory < most:
            raise InputError(
                f"crops.memory must hold the {most} crops of a step, got {self.crops.memory}"
            )

    @property
    def needs_sample(self) -> bool:
        """Whether anything looks at many pixels at a time."""
        head = self.head
        return (
            head.start == "whitened"
            or head.cluster_by == "kmeans"
            or self.crops.centred
            or self.naming.unseen
        )
