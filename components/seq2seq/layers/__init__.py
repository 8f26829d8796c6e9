"""Layers of the model: recurrent cells, attention, dropout, and loops over a sequence."""
