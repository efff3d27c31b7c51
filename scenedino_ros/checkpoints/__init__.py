"""Checkpoints: our file format, the published ones by name, and conversion of official ones."""
