"""Procedural streets: what stands in them, and what a camera sees of them."""
