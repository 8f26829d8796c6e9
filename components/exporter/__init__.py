"""Exports a trained model with smaller weights or to TensorFlow Lite: the work of `bitext export`.

`forms` writes a model in another form. `exporter` compares its translations with the original's, and refuses
a form that is significantly worse.
"""
