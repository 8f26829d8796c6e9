"""SchemaGen: publishes the curated schema, or one inferred from the statistics. See `executor`."""

from __future__ import annotations

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.shared.path_types import LocalPath
from bitext.schemas import BITEXT, Script


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the schema comes from.

    Attributes:
      curated: path of your own schema (`tensorflow.metadata.v0.Schema` in text format); null for
        `schemas/bitext.pbtxt` of this project.
      infer: infer the schema from the statistics of the train split (of all spans) instead: a start for your
        own schema.
      source_scripts: scripts that the source may be written in (`Latin`, `Cyrillic`, `Han`, ...; all names
        are in `schemas/__init__.py`); empty for those of the schema. Japanese is `[Kana, Han]`: a text with
        kana is Kana, a text of Han characters alone is Han.
      target_scripts: scripts that the target may be written in; empty for those of the schema.
    """

    curated: LocalPath | None = None
    infer: bool = False
    source_scripts: tuple[Script, ...] = ()
    target_scripts: tuple[Script, ...] = ()

    def __post_init__(self) -> None:
        if self.infer and self.curated is not None:
            raise ValueError("infer is true and curated names a file: give one of the two")

    def curated_path(self) -> str:
        """The path of the curated schema: the schema of this project by default."""
        return str(BITEXT) if self.curated is None else self.curated


class SchemaGen(Component[Parameters]):
    """Publishes the schema: the curated one, or one inferred from the statistics."""

    inputs = {"statistics": artifacts.ExampleStatistics}
    outputs = {"schema": artifacts.Schema}
    parameters = Parameters
    libraries = ("tensorflow-data-validation", "tensorflow-metadata")
    list_inputs = frozenset({"statistics"})

    def external_inputs(self, parameters: Parameters) -> list[str]:
        return [] if parameters.infer else [parameters.curated_path()]

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        statistics: tuple[artifacts.ExampleStatistics, ...],
        schema: artifacts.Schema,
    ) -> None:
        with heavy_imports():
            from bitext.components.schema_gen import executor
        executor.run(parameters, context, statistics=statistics, schema=schema)
