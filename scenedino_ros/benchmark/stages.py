"""Names of what is compared, and of the stages of a frame."""

VARIANTS = ("plain", "folded")
STAGES = ("encode", "voxels", "render")
