"""Training and evaluation scripts, run from the root of the repository."""
