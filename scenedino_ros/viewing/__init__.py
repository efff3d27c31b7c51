"""Pictures, meshes, plots and files that other viewers read."""
