"""Probes of the features of a frozen network, fitted to labels."""
