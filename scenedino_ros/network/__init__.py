"""The model as published, its folding, its heads and compositing: ordinary PyTorch."""
