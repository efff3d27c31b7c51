"""Rendered depth against ground truth from LiDAR or stored depth maps."""
