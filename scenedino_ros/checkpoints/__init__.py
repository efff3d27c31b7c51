"""Checkpoints of other origin: converted from the official format, or fetched by name."""
