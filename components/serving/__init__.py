"""Serves versions of a model over HTTP: TensorFlow Serving's REST protocol, and a page to try the model.

Importing this package imports neither TensorFlow nor the HTTP server.
"""

from __future__ import annotations

from bitext.components.serving.settings import Limits, Settings

__all__ = ["Limits", "Settings"]
