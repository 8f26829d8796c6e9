"""Decoders: one target token -> what is known of the next one."""
