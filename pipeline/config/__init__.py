"""The configuration: frozen structs read from YAML, every value checked, unknown keys refused by name.

`sections` declares the structs, `source` reads them from YAML, `messages` words the errors. Each component
section is that component's own `Parameters`, where its fields are documented.
"""

from bitext.pipeline.config.sections import (
    Beam,
    Metadata,
    Metrics,
    PipelineConfig,
    SqlServer,
)
from bitext.pipeline.config.source import dump, load

__all__ = [
    "Beam",
    "Metadata",
    "Metrics",
    "PipelineConfig",
    "SqlServer",
    "dump",
    "load",
]
