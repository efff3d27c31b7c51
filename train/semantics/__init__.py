"""Stage 2: a semantic head on the frozen field. `train` has the reading order."""
