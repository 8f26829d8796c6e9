"""The metadata store. The only package that imports ml_metadata; what it stores is in `pipeline.records`.

It uses neither `filter_query` nor lineage queries, because newer builds of ml-metadata do not have them.
"""

import os

# ML Metadata's notices of each connection. It reads the variable when it is imported.
os.environ.setdefault("GLOG_minloglevel", "1")

from bitext.pipeline.store.connection import exists, sqlite_file
from bitext.pipeline.store.store import Store

__all__ = ["Store", "exists", "sqlite_file"]
