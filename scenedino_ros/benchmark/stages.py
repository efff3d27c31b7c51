# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Names of what is compared, of the stages of a frame, and of the outputs to subscribe to."""

from scenedino_ros.core.outputs import MAP, OUTPUTS, VOXELS

VARIANTS = ("plain", "folded")
# The folded network once more in bfloat16, beside float32.
BFLOAT16 = "folded, bfloat16"
STAGES = ("encode", "voxels", "render")
# Values of --subscribe, and the outputs of the node, which has no map, that each one means.
SUBSCRIBED = {
    "voxels": ("voxels",),
    "grid": tuple(output.name for output in OUTPUTS if output.needs == VOXELS),
    "all": tuple(output.name for output in OUTPUTS if output.needs not in ("", MAP)),
}


def processor(stage: str) -> str:
    """Return the name of a stage's processor time."""
    return f"{stage} processor"
