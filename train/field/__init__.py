"""Stage 1: density and features."""
