"""A checkpoint and images in, voxels and rendered views out; `network_choice` is the entrance."""
