"""Runs of training: settings, folders, states, records."""
