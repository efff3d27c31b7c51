"""The published model, its folded form, its heads and volume rendering: plain PyTorch."""
