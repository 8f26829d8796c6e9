"""Measures what the README claims: `make bench`."""
