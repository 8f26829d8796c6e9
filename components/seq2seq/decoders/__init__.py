"""Decoders: one target token to the next, with attention over the memory."""
