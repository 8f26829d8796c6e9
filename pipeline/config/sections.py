"""The configuration: frozen structs read from YAML, every value checked once, unknown keys refused by name.

Each component section is that component's own `Parameters`; what a field means is documented there. A section
`variables` names values of its own, and `${name}` in any other value stands for one of them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bitext.components.component import Parameters
from bitext.components.evaluator import Parameters as EvaluatorParameters
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.example_validator import Parameters as ExampleValidatorParameters
from bitext.components.infra_validator import Parameters as InfraValidatorParameters
from bitext.components.pusher import Parameters as PusherParameters
from bitext.components.schema_gen import Parameters as SchemaGenParameters
from bitext.components.statistics_gen import Parameters as StatisticsGenParameters
from bitext.components.statistics_gen import RequestParameters
from bitext.components.trainer import Parameters as TrainerParameters
from bitext.components.transform import Parameters as TransformParameters

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class SqlServer(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A MySQL or PostgreSQL server that holds the metadata.

    Attributes:
      host: its host name.
      port: its TCP port.
      database: the database; made if the user may.
      user: who logs in.
      password_env: the environment variable that holds the password. Empty: no password.
    """

    host: str
    port: Port
    database: str
    user: str
    password_env: str = ""


class Metadata(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where what ran is remembered: one of three.

    Attributes:
      sqlite: a file. Empty, and no server given: `<root>/metadata.sqlite`.
      mysql: a MySQL server.
      postgresql: a PostgreSQL server.
    """

    sqlite: str = ""
    mysql: SqlServer | None = None
    postgresql: SqlServer | None = None

    def __post_init__(self) -> None:
        if sum([bool(self.sqlite), self.mysql is not None, self.postgresql is not None]) > 1:
            raise ValueError("give one of sqlite, mysql and postgresql")


class Beam(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the Beam pipelines run.

    Attributes:
      runner: a Beam runner's name. `DirectRunner` is this process, and needs nothing else.
      options: further Beam flags, `--name=value` each.
    """

    runner: str = "DirectRunner"
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option in self.options:
            if not option.startswith("--"):
                raise ValueError(f"a Beam option starts with --, and {option!r} does not")
            if option.split("=")[0] == "--runner":
                raise ValueError("name the runner in beam.runner, not in beam.options")
            if option.split("=")[0] == "--direct_running_mode":
                raise ValueError("DirectRunner always runs in this process: leave --direct_running_mode out")
        if self.runner.lower() in ("direct", "directrunner"):  # as Beam reads it
            msgspec.structs.force_setattr(self, "runner", "DirectRunner")


class Metrics(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of the last run to those who watch many machines.

    Attributes:
      textfile: the file that a run's metrics replace when it ends (pipeline/openmetrics.py), in a folder that
        node_exporter's textfile collector reads. Each pipeline needs its own. Empty: none.
    """

    textfile: str = ""

    def __post_init__(self) -> None:
        if "://" in self.textfile:
            raise ValueError(f"textfile must be a file of this machine; received {self.textfile!r}")
        if self.textfile and not self.textfile.endswith(".prom"):
            raise ValueError(
                f"textfile must end in .prom: the collector reads no other; received {self.textfile!r}"
            )


class PipelineConfig(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pipeline.

    Attributes:
      name: the pipeline's name: letters, digits, `_`, `.`, `-`.
      root: where artifacts, logs and (by default) metadata go. Empty: `runs/<name>`. Relative paths are
        relative to the folder the command is called in, here and everywhere.
      serving: the folder pushed models go to, as `<serving>/<version>/`. Empty: `serving/<name>`.
      metadata, beam: where runs are remembered; where Beam runs.
      metrics: where the last run's figures go.
      example_gen ... pusher: the parameters of each component.
      request_log: what the served model was asked, to compare the training data with; without files, nothing.
    """

    name: Name
    example_gen: ExampleGenParameters
    root: str = ""
    serving: str = ""
    metadata: Metadata = Metadata()
    beam: Beam = Beam()
    metrics: Metrics = Metrics()
    statistics_gen: StatisticsGenParameters = msgspec.field(default_factory=StatisticsGenParameters)
    schema_gen: SchemaGenParameters = msgspec.field(default_factory=SchemaGenParameters)
    example_validator: ExampleValidatorParameters = msgspec.field(default_factory=ExampleValidatorParameters)
    transform: TransformParameters = msgspec.field(default_factory=TransformParameters)
    trainer: TrainerParameters = msgspec.field(default_factory=TrainerParameters)
    evaluator: EvaluatorParameters = msgspec.field(default_factory=EvaluatorParameters)
    request_log: RequestParameters = msgspec.field(default_factory=RequestParameters)
    infra_validator: InfraValidatorParameters = msgspec.field(default_factory=InfraValidatorParameters)
    pusher: PusherParameters = msgspec.field(default_factory=PusherParameters)

    def __post_init__(self) -> None:
        for name in ("root", "serving"):
            if "://" in getattr(self, name):
                raise ValueError(f"{name} must be a folder of this machine; received {getattr(self, name)!r}")
        fill = msgspec.structs.force_setattr
        if not self.root:
            fill(self, "root", f"runs/{self.name}")
        if not self.serving:
            fill(self, "serving", f"serving/{self.name}")
        if self.example_gen.span is not None:
            raise ValueError("example_gen.span is filled in for each span: give patterns and a window")
        if self.pusher.destination not in ("", self.serving):
            raise ValueError(
                f"pusher.destination {self.pusher.destination!r} is not serving {self.serving!r}: the two are"
                " one folder; give serving alone"
            )
        fill(self, "pusher", msgspec.structs.replace(self.pusher, destination=self.serving))
        trainer, evaluator = self.trainer, self.evaluator
        if evaluator.min_golden_bleu and not self.example_gen.golden.patterns():
            raise ValueError("evaluator.min_golden_bleu is given, and example_gen.golden names no file")
        tokenize, lowercase = trainer.validation_tokenize, trainer.validation_lowercase
        references = trainer.validation_references
        trainer = msgspec.structs.replace(
            trainer,
            validation_tokenize=evaluator.tokenize if tokenize is None else tokenize,
            validation_lowercase=evaluator.lowercase if lowercase is None else lowercase,
            validation_references=evaluator.references if references is None else references,
        )
        fill(self, "trainer", trainer)
        # `<s>` is not searched for.
        longest = self.transform.target_max_length - 1
        if trainer.search.max_length < longest:
            raise ValueError(
                "trainer.search.max_length must be at least transform.target_max_length - 1, or targets are"
                f" learnt that no search can say. Received: {trainer.search.max_length}, below {longest}"
            )
