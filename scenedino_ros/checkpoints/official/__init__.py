"""Checkpoints of the published code, and of training runs with it, turned into our format."""
