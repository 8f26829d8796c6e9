"""Smaller and other formats of a trained model: what `bitext export` writes."""
