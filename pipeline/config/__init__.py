"""The configuration: frozen structs read from YAML. Unknown keys and invalid values are errors.

`sections` and `beam_section` declare the structs, `source` reads them from YAML, `messages` rewords errors.
Each component section is that component's own `Parameters`, where its fields are documented.
"""

from bitext.pipeline.config.augmentation_section import Augmentation, Monolingual, MonolingualFiles
from bitext.pipeline.config.beam_section import Beam, runner_name
from bitext.pipeline.config.sections import (
    Metadata,
    Metrics,
    PipelineConfig,
    SqlServer,
    resolve_defaults,
)
from bitext.pipeline.config.source import Override, load, parse_override, read_text
from bitext.pipeline.config.writing import dump

__all__ = [
    "Augmentation",
    "Beam",
    "Metadata",
    "Metrics",
    "Monolingual",
    "MonolingualFiles",
    "Override",
    "PipelineConfig",
    "SqlServer",
    "dump",
    "load",
    "parse_override",
    "read_text",
    "resolve_defaults",
    "runner_name",
]
