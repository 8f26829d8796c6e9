"""The sections of a configuration. The section of a component is that component's own `Parameters`."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec

from bitext.components.artifacts import TEST_SPLIT
from bitext.components.component import Parameters
from bitext.components.evaluator import Parameters as EvaluatorParameters
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.example_gen import TestSet
from bitext.components.example_validator import Parameters as ExampleValidatorParameters
from bitext.components.infra_validator import Parameters as InfraValidatorParameters
from bitext.components.pusher import Settings as PusherSettings
from bitext.components.schema_gen import Parameters as SchemaGenParameters
from bitext.components.shared.addresses import folder_problem, is_remote
from bitext.components.shared.names import name_rule
from bitext.components.shared.path_lengths import SQLITE_BYTES, bytes_of
from bitext.components.shared.path_types import Folder, LocalPath
from bitext.components.statistics_gen import Parameters as StatisticsGenParameters
from bitext.components.statistics_gen import RequestParameters
from bitext.components.trainer import Parameters as TrainerParameters
from bitext.components.transform import Parameters as TransformParameters
from bitext.pipeline.config.augmentation_section import TEACHER_NODES, Augmentation
from bitext.pipeline.config.beam_section import Beam, runner_name

Name = Annotated[str, name_rule(200)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
NODE_FOLDERS = frozenset(
    {
        "GoldenGen", "ExampleGen", "StatisticsGen", "SchemaGen", "RequestStatistics", "ExampleValidator",
        "Transform", "Trainer", "Evaluator", "InfraValidator", "Pusher", "Reporter",
        "Rollback", "logs", "reports", "tensorboard", *TEACHER_NODES,
    }
)  # fmt: skip
"""The folders below a pipeline root that only runs write, besides those whose names begin with a dot."""


class SqlServer(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A MySQL or PostgreSQL server that holds the metadata.

    Attributes:
      host: the host name.
      port: the TCP port.
      database: the database. It is created if the user is allowed to.
      user: the user that logs in.
      password_env: the environment variable that holds the password. Empty: no password.
    """

    host: str
    port: Port
    database: str
    user: str
    password_env: str = ""


class Metadata(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database that records runs and artifacts: at most one of three.

    Attributes:
      sqlite: an SQLite file. Empty: `<root>/metadata.sqlite`, unless a server is given.
      mysql: a MySQL server.
      postgresql: a PostgreSQL server.
    """

    sqlite: LocalPath = ""
    mysql: SqlServer | None = None
    postgresql: SqlServer | None = None

    def __post_init__(self) -> None:
        if sum([bool(self.sqlite), self.mysql is not None, self.postgresql is not None]) > 1:
            raise ValueError("give one of sqlite, mysql and postgresql")


class Metrics(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics of the last run, for monitoring.

    Attributes:
      textfile: a file ending in `.prom`, in a folder that node_exporter's textfile collector reads. Every run
        replaces it when it ends. Each pipeline needs its own file. Empty: none.
    """

    textfile: LocalPath = ""

    def __post_init__(self) -> None:
        if "://" in self.textfile:
            raise ValueError(f"textfile must be a file of this machine; received {self.textfile!r}")
        if self.textfile and not self.textfile.endswith(".prom"):
            raise ValueError(
                f"textfile must end in .prom: the collector reads no other; received {self.textfile!r}"
            )


class EvaluatorSection(EvaluatorParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section of the Evaluator.

    Attributes:
      test_sets: named test sets, each with files and a format of its own. They are scored in every run, and
        pairs whose source is in one of them are removed from train and eval. The keys of `example_gen` that
        say how a file is written are their defaults.
    """

    test_sets: tuple[TestSet, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [test_set.name for test_set in self.test_sets]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two test sets have the name {double[0]!r}: give each a name of its own")
        if self.blessing_set not in (TEST_SPLIT, *names):
            raise ValueError(
                f"blessing_set must be {' or '.join((TEST_SPLIT, *names))}; received {self.blessing_set!r}"
            )


class PipelineConfig(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pipeline. Relative paths are relative to the folder that the command starts in.

    Attributes:
      name: the pipeline's name: letters, digits, `_`, `.` and `-`, at most 200, with a letter or a digit
        first.
      example_gen: which files hold the bitext, how they are split, and which rows are rejected.
      root: the folder of artifacts, logs and (by default) metadata. A remote root (`s3://bucket/news`) has
        only the artifacts: `metadata` must name a database, and the rest is in `work`. Empty: `runs/<name>`.
      work: the folder of this machine for the temporary files, checkpoints, logs and pages of a remote root.
        Empty: the root, or `runs/<name>` if the root is remote.
      share_root: whether another configuration file may run in the same root. Without it, a run is refused if
        another file with this root ran there last: the two would be taken for one pipeline.
      serving: the folder that models are pushed to, as `<serving>/<version>/`. Empty: `serving/<name>`.
      metadata: the database that records runs and artifacts: one of SQLite, MySQL and PostgreSQL.
      beam: where Apache Beam pipelines run.
      verify_inputs: whether the files that a node is about to read are compared with their recorded digests.
        Damaged outputs of an earlier node are made again. Without it, damage may go unnoticed.
      metrics: where metrics of the last run are written for monitoring.
      statistics_gen: how detailed the statistics of the data are.
      schema_gen: where the schema of the data comes from.
      example_validator: which anomalies of the data stop the run.
      augmentation: synthetic training pairs that teacher models make. Absent: none.
      transform: how text becomes token ids.
      trainer: the model and its training.
      evaluator: how the model is scored, and the scores it must reach to be blessed.
      request_log: logged requests of the served model, which the training data is compared with. Without
        files, nothing is compared.
      infra_validator: how strictly the exported model is checked before it is pushed.
      pusher: what the model card of a pushed model says.
    """

    name: Name
    example_gen: ExampleGenParameters
    root: Folder = ""
    work: LocalPath = ""
    share_root: bool = False
    serving: Folder = ""
    metadata: Metadata = Metadata()
    beam: Beam = Beam()
    verify_inputs: bool = True
    metrics: Metrics = Metrics()
    statistics_gen: StatisticsGenParameters = msgspec.field(default_factory=StatisticsGenParameters)
    schema_gen: SchemaGenParameters = msgspec.field(default_factory=SchemaGenParameters)
    example_validator: ExampleValidatorParameters = msgspec.field(default_factory=ExampleValidatorParameters)
    augmentation: Augmentation | None = None
    transform: TransformParameters = msgspec.field(default_factory=TransformParameters)
    trainer: TrainerParameters = msgspec.field(default_factory=TrainerParameters)
    evaluator: EvaluatorSection = msgspec.field(default_factory=EvaluatorSection)
    request_log: RequestParameters = msgspec.field(default_factory=RequestParameters)
    infra_validator: InfraValidatorParameters = msgspec.field(default_factory=InfraValidatorParameters)
    pusher: PusherSettings = msgspec.field(default_factory=PusherSettings)

    def __post_init__(self) -> None:
        for name, folder in (("root", self.root), ("serving", self.serving)):
            if is_remote(folder) and (problem := folder_problem(folder)):
                shown = "" if "password" in problem else f" {folder!r}"
                raise ValueError(f"{name}{shown} {problem}")
        self._check_root()
        self._check_folders()
        self._check_sqlite()
        if self.evaluator.min_golden_bleu and not self.example_gen.golden.patterns():
            raise ValueError("evaluator.min_golden_bleu is given, but example_gen.golden names no file")
        longest = self.transform.target_max_length - 1  # the search does not produce `<s>`
        if self.trainer.search.max_length < longest:
            raise ValueError(
                "trainer.search.max_length must be at least transform.target_max_length - 1: otherwise the"
                " model learns targets that the search cannot produce."
                f" Received: {self.trainer.search.max_length}, below {longest}"
            )

        self._check_subwords()

    def _check_subwords(self) -> None:
        """Refuses subword regularization by both components, or of what are no subwords."""
        trainers = {"trainer": self.trainer}
        if self.augmentation is not None:
            trainers["augmentation.teacher"] = self.augmentation.teacher
        for name, trainer in trainers.items():
            if trainer.subword_dropout and self.transform.unit != "subword":
                raise ValueError(
                    f"{name}.subword_dropout needs transform.unit subword; received {self.transform.unit}"
                )
            if trainer.subword_dropout and self.transform.subword_samples > 1:
                raise ValueError(
                    f"{name}.subword_dropout tokenizes each pair again whenever it is read, so"
                    f" transform.subword_samples must be 1; received {self.transform.subword_samples}"
                )

    def _check_root(self) -> None:
        """Refuses a remote root without a database, and a `work` that is remote or beside a local root."""
        if is_remote(self.work):
            raise ValueError(f"work must be a folder of this machine; received {self.work!r}")
        if not is_remote(self.root):
            if self.work and os.path.abspath(self.work) != os.path.abspath(self.root_folder):
                raise ValueError(
                    f"work is for a remote root; the root {self.root_folder!r} is a folder of this machine,"
                    f" which has all files itself. Received: {self.work!r}"
                )
            return
        metadata = self.metadata
        if not (metadata.sqlite or metadata.mysql or metadata.postgresql):
            raise ValueError(
                f"root {self.root!r} is remote, and its records must be as safe as its artifacts: name their"
                " database with metadata.postgresql or metadata.mysql, or, if one machine does all runs,"
                " metadata.sqlite"
            )

    def _check_folders(self) -> None:
        """Refuses a serving folder that is the pipeline root, or a folder in it in which the runs write."""
        if is_remote(self.serving_folder) or is_remote(self.root_folder):
            root, serving = (folder.rstrip("/") for folder in (self.root_folder, self.serving_folder))
            if serving == root or serving.startswith(f"{root}/"):
                raise ValueError(f"serving {serving!r} must not be in the root {root!r}")
        root, serving = (os.path.abspath(folder) for folder in (self.work_folder, self.serving_folder))
        if root == serving:
            raise ValueError(
                f"root and serving must be two folders; both are {self.root_folder!r}. Leave them empty for"
                f" {_default_root(self.name)!r} and {_default_serving(self.name)!r}"
            )
        first, *_ = os.path.relpath(serving, root).split(os.sep)
        if first in NODE_FOLDERS or (first.startswith(".") and first != os.pardir):
            raise ValueError(
                f"serving must not be in a folder that runs write: {self.serving_folder!r} is in {first!r}"
                f" of root {self.root_folder!r}"
            )

    def _check_sqlite(self) -> None:
        """Refuses an SQLite file whose path is too long for SQLite."""
        if self.metadata.mysql or self.metadata.postgresql:
            return
        file = os.path.abspath(self.metadata.sqlite or f"{self.work_folder}/metadata.sqlite")
        if (size := bytes_of(file)) > SQLITE_BYTES:
            key = "metadata.sqlite" if self.metadata.sqlite else "root"
            raise ValueError(
                f"{key} is too long: the path of the metadata store has {size:,} bytes, and SQLite takes at"
                f" most {SQLITE_BYTES}; name a file elsewhere with metadata.sqlite, or shorten it"
            )

    @property
    def root_folder(self) -> str:
        """The pipeline root, also if it is left to the default."""
        return self.root or _default_root(self.name)

    @property
    def work_folder(self) -> str:
        """The folder of this machine, also if it is left to the default."""
        return self.work or (_default_root(self.name) if is_remote(self.root_folder) else self.root_folder)

    @property
    def serving_folder(self) -> str:
        """The serving folder, also if it is left to the default."""
        return self.serving or _default_serving(self.name)


def _default_root(name: str) -> str:
    return f"runs/{name}"


def _default_serving(name: str) -> str:
    return f"serving/{name}"


def resolve_defaults(config: PipelineConfig) -> PipelineConfig:
    """Fills in the defaults that follow from other values: folders, and how the Trainer validates."""
    trainer, evaluator = config.trainer, config.evaluator
    validation = trainer.validation
    tokenize, lowercase, references = validation.tokenize, validation.lowercase, validation.references
    validation = msgspec.structs.replace(
        validation,
        tokenize=evaluator.tokenize if tokenize is None else tokenize,
        lowercase=evaluator.lowercase if lowercase is None else lowercase,
        references=evaluator.references if references is None else references,
    )
    return msgspec.structs.replace(
        config,
        root=config.root_folder,
        work=config.work_folder,
        serving=config.serving_folder,
        beam=msgspec.structs.replace(config.beam, runner=runner_name(config.beam.runner)),
        trainer=msgspec.structs.replace(trainer, validation=validation),
    )


def unresolve_defaults(config: PipelineConfig) -> PipelineConfig:
    """The inverse of `resolve_defaults`: leaves values open that equal the default that follows from others.

    A copy of the written configuration with another name then has other folders.
    """
    evaluator, validation = config.evaluator, config.trainer.validation
    validation = msgspec.structs.replace(
        validation,
        tokenize=None if validation.tokenize == evaluator.tokenize else validation.tokenize,
        lowercase=None if validation.lowercase == evaluator.lowercase else validation.lowercase,
        references=None if validation.references == evaluator.references else validation.references,
    )
    return msgspec.structs.replace(
        config,
        root="" if config.root == _default_root(config.name) else config.root,
        work="" if config.work in (config.root, _default_root(config.name)) else config.work,
        serving="" if config.serving == _default_serving(config.name) else config.serving,
        trainer=msgspec.structs.replace(config.trainer, validation=validation),
    )
