"""Semantic scene completion on SSCBench-KITTI-360."""
