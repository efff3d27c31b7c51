"""Occupied or free, on drives with occupancy grids."""
