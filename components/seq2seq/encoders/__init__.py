"""Encoders: source tokens to a memory."""
