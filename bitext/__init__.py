"""The package: `bitext.pipeline`, `bitext.components` and `bitext.schemas`.

In a checkout these are links to the three folders at its root. In a wheel they are folders here.
"""

__version__ = "0.2.0"
