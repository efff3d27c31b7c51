"""Consistency of the features of the same surface in two frames."""
