"""The steps of the pipeline: plain functions from typed input artifacts to output artifacts.

A component knows nothing of the runner, of metadata or of other components.
"""
