"""Measures what the package costs, the plain network beside the folded one."""
