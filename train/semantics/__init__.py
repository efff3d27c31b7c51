"""Stage 2: classes."""
