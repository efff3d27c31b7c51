"""A linear probe: classes that labels teach the features."""
