"""SSCBench-KITTI-360: semantic scene completion."""
