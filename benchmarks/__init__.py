"""Benchmarks of the figures in the documentation: `make bench`."""
