"""What every room shares: errors, settings, classes, voxels, metrics, files, memory."""
