"""Rendered depth beside LiDAR or stored depth."""
