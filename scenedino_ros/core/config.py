# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""All settings with default, unit, range and meaning; defaults are defined only here."""

from dataclasses import dataclass, field

from scenedino_ros.core.limits import CUBES
from scenedino_ros.core.model_config import PREDICTION_MODES
from scenedino_ros.core.setting import setting

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bfloat16")
ENGINES = ("torch", "compiled", "onnx", "openvino", "tensorrt", "auto")
# What commands and Python take unless told otherwise: others can reproduce the numbers. The node
# measures which engine and which precision is faster.
REPRODUCIBLE_PRECISION = "float32"
REPRODUCIBLE_ENGINE = "torch"
EVALUATION_FIT = "stretch"  # as in the published evaluation


@dataclass(frozen=True)
class ModelSettings:
    """Which weights run, on which device, and how."""

    checkpoint: str = setting(
        "",
        "Checkpoint file (.safetensors), or the name of a published checkpoint; "
        "empty: the model of the package",
    )
    device: str = setting(
        "auto",
        "Device of the network; auto takes the GPU where there is one",
        choices=DEVICES,
    )
    precision: str = setting(
        "auto",
        "Arithmetic of the network, auto takes the faster one here; positions, densities and the "
        "scores of classes stay float32; int8 is for engine openvino",
        choices=("auto", *PRECISIONS, "int8"),
    )
    engine: str = setting(
        "auto",
        "What runs the network: PyTorch, as it is or compiled at the start, PyTorch with the "
        "image part in OpenVINO, exported graphs in ONNX Runtime or TensorRT, or (auto) the "
        "fastest of torch, openvino and onnx here",
        choices=ENGINES,
    )
    mode: str = setting("stego_kmeans", "Which head names the classes", choices=PREDICTION_MODES)
    image_size: tuple[int, ...] = setting(
        (),
        "Height and width of the network input image, a whole patch grid; empty: as in the "
        "checkpoint",
        unit="px",
        low=8,
        high=4096,
    )
    memory_budget: int = setting(
        0,
        "Working memory of one chunk of point queries; 0: 128 MiB on a processor, a sixteenth of "
        "a GPU's memory",
        unit="MiB",
        low=0,
        high=65536,
    )


@dataclass(frozen=True)
class InputSettings:
    """How images and calibrations arrive."""

    cameras: tuple[str, ...] = setting(
        (),
        "Names of the cameras; camera NAME reads NAME/image and NAME/camera_info, and is answered "
        "below ~/NAME/; empty: one camera that reads image and camera_info",
    )
    transport: str = setting("raw", "Type of the image topic", choices=("raw", "compressed"))
    rectified: bool = setting(
        False, "True: images are rectified, use P; false: images are raw, use K with D"
    )
    fit: str = setting(
        "auto",
        "How an image of another aspect ratio fills the network's: stretch it, crop it, or "
        "(auto) stretch up to 25 % and crop beyond",
        choices=("auto", "stretch", "crop"),
    )
    reliable: bool = setting(False, "Subscribe to images with reliable instead of best-effort QoS")
    pairing: str = setting(
        "latest",
        "CameraInfo for an image: the one of exactly its stamp, or the latest one, which holds "
        "until another comes",
        choices=("exact", "latest"),
    )


@dataclass(frozen=True)
class GridSettings:
    """Where the voxel grid lies."""

    preset: str = setting(
        "camera",
        "Grid to start from: 25.6 m ahead in the camera frame, or the SSCBench-KITTI-360 grid "
        "(51.2 m) or its near half (25.6 m) in a body frame",
        choices=("camera", "sscbench", "sscbench_near"),
    )
    frame: str = setting(
        "", "Frame of the grid and of the outputs; empty: the camera's optical frame"
    )
    origin: tuple[float, ...] = setting(
        (), "Minimum corner (x, y, z) of the grid in its frame; empty: of the preset", unit="m"
    )
    shape: tuple[int, ...] = setting(
        (), "Voxel counts along x, y, z; empty: of the preset", low=1, high=4096
    )
    voxel_size: float = setting(
        0.0, "Edge length of a voxel; 0: of the preset", unit="m", low=0.0, high=10.0
    )
    static_transform: tuple[float, ...] = setting(
        (),
        "Camera pose in the grid frame (x y z, quaternion x y z w) for set-ups without TF; "
        "empty: ask TF at the image's stamp",
    )
    view_frame: str = setting(
        "",
        "Frame that the node adds to TF for viewers, x ahead and z up, as a child of the frame of "
        "the outputs; empty: none",
    )
    tf_timeout: float = setting(
        0.1,
        "How long an image waits, from its arrival, for a transform that is a little late",
        unit="s",
        low=0.0,
        high=5.0,
    )


@dataclass(frozen=True)
class VoxelSettings:
    """Which voxels are occupied, and which of those are published."""

    density_threshold: float = setting(
        0.0,
        "A voxel is occupied at this density or more; 0: at that of the checkpoint",
        unit="1/m",
        low=0.0,
        live=True,
    )
    grow: bool = setting(
        False, "Take the maximum density of the 3x3x3 neighbourhood, as SSCBench does", live=True
    )
    out_of_view: bool = setting(False, "Publish voxels outside the camera's view too", live=True)
    exposed_only: bool = setting(
        True,
        "Publish only the surface of what is occupied: voxels with a face neighbour that is free "
        "or unknown; false: all occupied voxels",
        live=True,
    )
    coarse_to_fine: bool = setting(
        True,
        "Ask the network for every second voxel of each axis first, and of the others only for "
        "those that these leave open: faster; not with grow, and not on a GPU",
        live=True,
    )
    hidden_classes: tuple[str, ...] = setting(
        ("sky",), "Names of classes that are not published; sky never is", live=True
    )
    max_cubes: int = setting(
        50000,
        "Most cubes in one marker message; the densest are kept",
        low=1,
        high=CUBES,
        live=True,
    )


@dataclass(frozen=True)
class MapSettings:
    """The rolling map that many images are fused in."""

    frame: str = setting("", "Fixed frame of the map, z up, such as odom; empty: there is no map")
    robot_frame: str = setting(
        "",
        "Frame of the robot, z up, such as base_link, which the map moves with; empty: the "
        "camera's optical frame",
    )
    size: tuple[float, ...] = setting(
        (64.0, 64.0, 6.4), "Lengths of the map along x, y, z", unit="m", low=0.1, high=1000.0
    )
    voxel_size: float = setting(0.2, "Edge length of a voxel", unit="m", low=0.02, high=5.0)
    below: float = setting(
        2.4, "How far the map reaches below the robot's frame", unit="m", low=0.0, high=100.0
    )
    density_threshold: float = setting(
        0.4,
        "Density that speaks neither for nor against occupied; 0: that of the checkpoint",
        unit="1/m",
        low=0.0,
    )
    half_life: float = setting(
        10.0, "Time in which the evidence of a voxel halves", unit="s", low=0.1, high=1e6
    )
    max_speed: float = setting(
        60.0,
        "Speed above which a pose is a jump, after which the map starts anew",
        unit="m/s",
        low=0.1,
    )
    max_turn: float = setting(
        3.0, "Angular speed above which a pose is a jump", unit="rad/s", low=0.01
    )
    ground_height: float = setting(
        0.0, "Height of the ground under the robot in the robot's frame", unit="m"
    )
    obstacle_heights: tuple[float, ...] = setting(
        (0.3, 2.0),
        "Lowest and highest height above the ground of what the robot can hit",
        unit="m",
        low=0.0,
        high=100.0,
        live=True,
    )
    costs: str = setting(
        "", "File of the costs of each class in the occupancy grid; empty: that of the package"
    )
    rate: float = setting(
        1.0,
        "Most messages per second of each output of the map",
        unit="Hz",
        low=0.01,
        high=100.0,
        live=True,
    )
    exposed_only: bool = setting(
        True, "Publish only voxels of the map with a free or unknown face neighbour", live=True
    )
    keep_updated: bool = setting(
        False, "Update the map also while none of its outputs has a subscriber", live=True
    )
    folder: str = setting(
        "", "Folder that ~/save_map writes to; empty: the one that the node was started in"
    )


@dataclass(frozen=True)
class RenderSettings:
    """How the field is rendered into the camera, for topics with subscribers."""

    downscale: int = setting(
        4,
        "Rendered images are the network's image size divided by this",
        low=1,
        high=32,
        live=True,
    )
    n_samples: int = setting(24, "Samples along each ray", low=2, high=512, live=True)


@dataclass(frozen=True)
class DiagnosticsSettings:
    """What the node reports about itself."""

    period: float = setting(1.0, "Time between diagnostics messages", unit="s", low=0.1, high=60.0)
    stale_after: float = setting(
        2.0, "Without a usable frame for this long the node reports why", unit="s", low=0.1
    )


@dataclass(frozen=True)
class NodeSettings:
    """All parameters of the node; the group is the prefix of a parameter's name."""

    autostart: bool = setting(True, "Configure and activate without a lifecycle manager")
    model: ModelSettings = field(default_factory=ModelSettings)
    input: InputSettings = field(default_factory=InputSettings)
    grid: GridSettings = field(default_factory=GridSettings)
    voxels: VoxelSettings = field(default_factory=VoxelSettings)
    map: MapSettings = field(default_factory=MapSettings)
    render: RenderSettings = field(default_factory=RenderSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)
