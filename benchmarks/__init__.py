"""Measures the figures in the documentation: `make bench`."""
