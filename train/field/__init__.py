"""Stage 1: geometry and features of the field. `train` has the reading order."""
