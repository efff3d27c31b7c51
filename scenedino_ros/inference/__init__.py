"""A checkpoint and images in, voxels and rendered views out."""
