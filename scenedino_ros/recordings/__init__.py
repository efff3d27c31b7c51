"""Recorded drives as training and evaluation read them: poses, frames, and a store of both."""
