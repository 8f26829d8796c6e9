"""The components of the pipeline: each reads typed input artifacts and writes output artifacts.

A component does not depend on the runner, the metadata store or another component.
"""
