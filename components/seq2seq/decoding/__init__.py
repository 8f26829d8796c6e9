"""Decoding: beam search and sampling, in the graph."""
