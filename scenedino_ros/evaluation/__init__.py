"""Evaluations as functions, see `evaluate`: a room for each, and what all of them share."""
