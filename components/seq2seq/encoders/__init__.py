"""Encoders: embedded source tokens -> what the decoder reads of a sentence."""
