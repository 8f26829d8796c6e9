"""Decoding: beam search, sampling, and their results."""
