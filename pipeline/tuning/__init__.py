"""The Tuner: trains with many settings, and finds those with the best validation score (`bitext tune`).

TFX's Tuner is a component. This one runs components, Transform and Trainer, so it is part of the pipeline's
code: `space` says which settings there are, `search` chooses some, `process` trains with them in a process of
its own, `pruning` stops what is hopeless, and `trials` records all of it in the metadata store.
"""
