"""Smaller and other forms of a trained model: the work of `bitext export`.

`forms` writes a model in another form; `exporter` measures what that costs, and refuses a form that is worse.
"""
