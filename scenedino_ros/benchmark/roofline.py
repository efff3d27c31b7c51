# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The shortest time in which this machine could do each part of a frame: its roofline.

The operations of a part are those of its matrix products and convolutions, computed directly; its
bytes are weights, inputs and answers, each once. All other operations, and what moves between its
layers, are not counted: the time is a lower bound.

Source: Williams, Waterman, Patterson, Roofline: An Insightful Visual Performance Model for
Multicore Architectures, 2009.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from scenedino_ros.benchmark.counting import Asked, Record
from scenedino_ros.benchmark.peaks import TF32, Peaks
from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig

# Weights of a layer or of several, and how many multiplications they take part in.
Layers = list[tuple[int, int]]
# The parts of each stage that the engine computes.
PARTS = {
    "encode": ("transformer", "decoder", "tail"),
    "voxels": ("density", "classes"),
    "render": ("densities", "features", "classes"),
}
_BLOCKS = 12  # of all vision transformers here
_ONES = 16  # channels that the folded tail and the folded head add
_BYTES = {"int8": 1, "bfloat16": 2, "float16": 2}  # of a number; four for all others


@dataclass(frozen=True)
class Work:
    """What a part has to do.

    Attributes:
        count: Images, points or rays.
        operations: Multiplications and additions, by the precision they are done in.
        nbytes: Bytes that must move between memory and processor.
    """

    count: int
    operations: Mapping[str, int]
    nbytes: int

    def arithmetic_time(self, peaks: Peaks) -> float:
        """Return the shortest time for the operations, seconds; 0 where no rate is known."""
        unknown = float("inf")
        return sum(n / peaks.rates.get(name, unknown) for name, n in self.operations.items())

    def memory_time(self, peaks: Peaks) -> float:
        """Return the shortest time for the bytes, seconds."""
        return self.nbytes / peaks.bandwidth

    def bound(self, peaks: Peaks) -> float:
        """Return the shortest time for both, seconds."""
        return max(self.arithmetic_time(peaks), self.memory_time(peaks))


def transformer_layers(config: ModelConfig) -> Layers:
    """Return the layers of the vision transformer, for one image.

    Raises:
        InputError: If the encoder is no transformer.
    """
    spec = backbone_spec(config.backbone)
    if spec.is_convolutional:
        raise InputError(f"the roofline needs a transformer, got backbone {config.backbone}")
    rows, columns = patch_grid(config.backbone, config.image_size)
    patches, width = rows * columns, spec.width
    tokens = patches + spec.prefix_tokens
    embedding = 3 * spec.patch**2 * width
    block = 12 * width**2  # queries, keys, values; projection; two layers of four times the width
    attention = 2 * tokens**2 * width
    return [(embedding, embedding * patches)] + _BLOCKS * [(block, block * tokens), (0, attention)]


def decoder_layers(config: ModelConfig) -> Layers:
    """Return the layers of the decoder up to its last small map, for one image."""
    patches, half = _patches(config)
    token, width = backbone_spec(config.backbone).width, config.decoder_width
    channels = [min(c, width) for c in config.reassemble_channels]
    first, second, _, last = channels
    layers = [
        *((token * c, token * c * patches) for c in channels),
        (16 * first**2, 16 * first**2 * patches),
        (4 * second**2, 4 * second**2 * patches),
        (9 * last**2, 9 * last**2 * half),
    ]
    places = (16 * patches, 4 * patches, patches, half)
    layers += [(9 * c * width, 9 * c * width * n) for c, n in zip(channels, places, strict=True)]
    for level in range(4):
        # Two residual units of two 3x3 convolutions, of which the coarsest level has one.
        weights = (18 if level == 0 else 36) * width**2 + width**2
        layers.append((weights, weights * half * 4**level))
    return layers


def tail_layers(config: ModelConfig) -> Layers:
    """Return the layers from the decoder's last small map to the map of the points."""
    width, hidden = config.decoder_width, config.hidden_dim
    places = (256 if config.upsample_fusion else 64) * _patches(config)[1]
    wide = width + _ONES if config.upsample_tail else width
    # Four 2x2 kernels on the small map stand for one 3x3 kernel on the doubled one.
    kernels = 16 if config.upsample_tail else 9
    last: tuple[int, ...] = (kernels * wide * hidden,)
    apart = (9 * width**2, width * hidden)  # the last convolution, and then the hidden layer
    if not config.upsample_tail and sum(apart) < sum(last):
        last = apart
    weights = (9 * width**2, 9 * width * wide, *last)
    return [(n, n * places) for n in weights]


def density_layers(config: ModelConfig) -> Layers:
    """Return the layers from the map and the positional code to the density, for one point."""
    weights = config.hidden_dim * (3 + 6 * config.n_frequencies) + config.hidden_dim
    return [(weights, weights)]


def ray_layers(config: ModelConfig) -> Layers:
    """Return the layers that all points of a ray share, for one ray."""
    weights = config.hidden_dim * (3 + 6 * config.n_frequencies)
    return [(weights, weights)]


def on_ray_layers(config: ModelConfig) -> Layers:
    """Return the layers from the depth's part of the code to the density, for one point."""
    weights = config.hidden_dim * (1 + 2 * config.n_frequencies)
    # The depth's part of the first layer is counted with its ray's.
    return [(0, weights), (config.hidden_dim, config.hidden_dim)]


def feature_layers(config: ModelConfig) -> Layers:
    """Return the layer from hidden activations to the feature, for one point or ray."""
    weights = config.hidden_dim * config.feature_dim
    return [(weights, weights)]


def class_layers(
    config: ModelConfig, mode: str, code_units: int | None = None, needs_norm: bool = True
) -> Layers:
    """Return the layers of the folded head, from a feature to its class.

    Args:
        config: Architecture of the network.
        mode: Which head names the classes.
        code_units: Hidden units of the distilled code that are computed; None: all.
        needs_norm: Whether the norm of the full feature is computed.
    """
    if config.classes_in_field:
        return []
    token = backbone_spec(config.backbone).width
    hidden = config.expansion_dim + _ONES
    source, kind = mode.split("_")
    width = config.code_dim if source == "stego" else token
    weights = config.feature_dim * hidden + (hidden**2 if needs_norm else 0)
    if source == "stego":
        units = token if code_units is None else code_units
        weights += hidden * (config.code_dim + units) + units * config.code_dim
    # A direct head reads the expansion's hidden layer: its first layer is folded into it.
    inputs = config.code_dim if source == "stego" else hidden
    if kind == "kmeans":
        weights += inputs * config.n_clusters
    elif config.mlp_probe:
        weights += inputs * 2 * width + 2 * width * config.n_classes
    else:
        weights += inputs * config.n_classes
    return [(weights, weights)]


def works(
    config: ModelConfig, mode: str, precision: str, records: Mapping[str, Record]
) -> dict[tuple[str, str], Work]:
    """Return the work of each part of a frame, by stage and part.

    Args:
        config: Architecture of the network.
        mode: Which head names the classes.
        precision: Of the image part and of the head; points may have another one.
        records: What the engine was asked for, by stage.
    """
    found = {}
    if "encode" in records:
        found.update(_image_works(config, precision, records["encode"]["hidden_map"]))
    density, feature = density_layers(config), feature_layers(config)
    of_head = "float32" if precision == TF32 else precision
    if "voxels" in records:
        asked = records["voxels"]
        sampled, classified = asked["samples"], asked["classify"]
        head = class_layers(config, mode, classified.code_units, classified.needs_norm)
        found["voxels", "density"] = _alone(density, asked["density"])
        found["voxels", "classes"] = _work(
            [_of_points(density, sampled), _of_points(feature, asked["feature"])]
            + [(head, classified.count, of_head)],
            sampled.map_bytes_read + sampled.bytes_in + sampled.bytes_out + classified.bytes_out,
        )
    if "render" in records:
        asked = records["render"]
        sampled, features = asked["ray_samples"], asked["feature"]
        classified, dense = asked["classify"], asked["ray_density"]
        moved = dense.map_bytes_read + dense.bytes_in + dense.bytes_out
        found["render", "densities"] = _work(_of_rays(config, dense), moved)
        found["render", "features"] = _work(
            [*_of_rays(config, sampled), _of_points(feature, features)],
            sampled.map_bytes_read + sampled.bytes_in + sampled.bytes_out + features.bytes_out,
        )
        head = class_layers(config, mode, classified.code_units, classified.needs_norm)
        moved = classified.bytes_in + classified.bytes_out
        found["render", "classes"] = _work([(head, classified.count, of_head)], moved)
    return found


def _image_works(config: ModelConfig, precision: str, asked: Asked) -> dict[tuple[str, str], Work]:
    size = _BYTES.get(precision, 4)
    patches, half = _patches(config)
    taps = 4 * backbone_spec(config.backbone).width * patches * size
    small = config.decoder_width * 64 * half * size
    moved = (asked.bytes_in + taps, taps + small, small + asked.bytes_out)
    layers = (transformer_layers(config), decoder_layers(config), tail_layers(config))
    return {
        ("encode", part): _work([(part_layers, asked.count, precision)], nbytes)
        for part, part_layers, nbytes in zip(PARTS["encode"], layers, moved, strict=True)
    }


def _of_points(layers: Layers, asked: Asked) -> tuple[Layers, int, str]:
    return layers, asked.count, asked.precision


def _of_rays(config: ModelConfig, asked: Asked) -> list[tuple[Layers, int, str]]:
    points = on_ray_layers(config), asked.count, asked.precision
    return [points, (ray_layers(config), asked.lookups, asked.precision)]


def _alone(layers: Layers, asked: Asked) -> Work:
    moved = asked.map_bytes_read + asked.bytes_in + asked.bytes_out
    return _work([_of_points(layers, asked)], moved)


def _work(layers: Sequence[tuple[Layers, int, str]], moved: int) -> Work:
    """Return the work of layers one after the other.

    Args:
        layers: Each with how often it runs, and its precision.
        moved: Bytes that move beside the weights.
    """
    operations: Counter[str] = Counter()
    for these, times, precision in layers:
        operations[precision] += sum(2 * products * times for _, products in these)
        moved += sum(weights for weights, _ in these if times) * _BYTES.get(precision, 4)
    return Work(layers[0][1], dict(operations), moved)


def _patches(config: ModelConfig) -> tuple[int, int]:
    """Return the number of patches of an image, and of places in the map of half their grid."""
    rows, columns = patch_grid(config.backbone, config.image_size)
    return rows * columns, ((rows + 1) // 2) * ((columns + 1) // 2)


def image_precision(engine: str, peaks: Peaks) -> str:
    """Return the precision of an engine's image part by the words that describe the engine."""
    named = [name for name in ("int8", "bfloat16") if name in engine]
    if named:
        return named[0]
    low = TF32 in peaks.rates and torch.backends.cudnn.allow_tf32
    return TF32 if low else "float32"


def roofline(
    config: ModelConfig,
    mode: str,
    precision: str,
    frames: Sequence[Mapping[str, Record]],
    peaks: Peaks,
) -> list[dict[str, Any]]:
    """Return the rows of the roofline: the parts of each stage, the rest of it, and the stage.

    Args:
        config: Architecture of the network.
        mode: Which head names the classes.
        precision: Of the image part and of the head.
        frames: What the engine was asked for in each frame, by stage.
        peaks: What the machine can do.

    Returns:
        Plain values by name. A bound is None where it is not known what is to be done, a p50 where
        the engine does not run the part on its own.
    """
    work = works(config, mode, precision, frames[0])
    rows = []
    for stage in frames[0]:
        parts = [(part, work[stage, part]) for part in PARTS[stage] if work[stage, part].count]
        timings = [_part_times(stage, frame[stage]) for frame in frames]
        for part, one in parts:
            times = [timing[part] for timing in timings if part in timing]
            rows.append(_row(stage, part, [one], times, peaks))
        rest = [_rest(timing) for timing in timings]
        rows.append(_row(stage, "rest", [], rest, peaks))
        whole = [timing[""] for timing in timings]
        rows.append(_row(stage, "", [one for _, one in parts], whole, peaks))
    return rows


Times = tuple[float, float]  # seconds, and processor seconds of all threads


def _part_times(stage: str, record: Record) -> dict[str, Times]:
    """Return the times of the parts of a stage, and of the stage as a whole ("")."""

    def times(*methods: str) -> Times:
        return (
            sum(record[method].seconds for method in methods),
            sum(record[method].processor_seconds for method in methods),
        )

    whole = {"": times("stage")}
    if stage == "voxels":
        classes = times("samples", "feature", "classify")
        return {"density": times("density"), "classes": classes, **whole}
    if stage == "render":
        features = times("ray_samples", "feature")
        density, classes = times("ray_density"), times("classify")
        return {"densities": density, "features": features, "classes": classes, **whole}
    ends = [times(name) for name in ("encoder", "fuse", "hidden_map")]
    if not ends[0][0]:
        return {"image part": ends[2], **whole}
    lengths = [ends[0], _difference(ends[1], ends[0]), _difference(ends[2], ends[1])]
    return {**dict(zip(PARTS["encode"], lengths, strict=True)), **whole}


def _rest(timing: Mapping[str, Times]) -> Times:
    parts = [times for part, times in timing.items() if part]
    inside = sum(seconds for seconds, _ in parts), sum(processor for _, processor in parts)
    return _difference(timing[""], inside)


def _difference(a: Times, b: Times) -> Times:
    return max(a[0] - b[0], 0.0), max(a[1] - b[1], 0.0)


def _row(
    stage: str, part: str, work: Sequence[Work], times: Sequence[Times], peaks: Peaks
) -> dict[str, Any]:
    operations = sum(sum(one.operations.values()) for one in work)
    nbytes = sum(one.nbytes for one in work)
    # Parts run one after the other.
    bound = sum(one.bound(peaks) for one in work) if work else None
    p50 = median(seconds for seconds, _ in times) if times else None
    row: dict[str, Any] = {
        "stage": stage,
        "part": part,
        "count": None,
        "precision": None,
        "operations": operations,
        "bytes": nbytes,
        "operations / byte": operations / nbytes if nbytes else None,
        "bound by": None,
        "bound [ms]": None if bound is None else 1000 * bound,
        "p50 [ms]": None if p50 is None else 1000 * p50,
        "processor p50 [ms]": 1000 * median(s for _, s in times) if times else None,
        "p50 / bound": p50 / bound if p50 is not None and bound else None,
    }
    if part and work:
        (one,) = work
        by_operations = one.arithmetic_time(peaks) >= one.memory_time(peaks)
        row["count"], row["precision"] = one.count, ", ".join(one.operations)
        row["bound by"] = "operations" if by_operations else "bytes"
    return row
