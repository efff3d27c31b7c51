"""Occupied space beside occupancy grids."""
