"""Layers: recurrent cells, attention, dropout, and recurrence over a sequence.

A class here is a `keras.layers.Layer` so that it owns named, initialized weights. Call its methods, not the
layer: only `Cell` has Keras's `call`. Methods take and return tensors, and keep no state between calls.
"""
