"""Artifact kinds: the typed folders that components pass to each other.

The class of a kind documents its file tree and reads and writes its files; no other code spells their names.
Names of types, folders and files are those of TFX, so that its users and tools recognize them. Importing this
package imports no large library.
"""

from __future__ import annotations

from bitext.components.artifacts.anomalies import ExampleAnomalies
from bitext.components.artifacts.base import Artifact, Property, span_label
from bitext.components.artifacts.blessing import Blessing, InfraBlessing, ModelBlessing, Verdict
from bitext.components.artifacts.evaluation import (
    Aligned,
    BaselineComparison,
    LengthRow,
    Metrics,
    ModelEvaluation,
    Translated,
    TrivialScore,
)
from bitext.components.artifacts.examples import (
    CORPUS_PROPERTY,
    ORIGIN_PROPERTY,
    TEST_SPLIT,
    TRAIN_SPLIT,
    Bucket,
    Examples,
    PairOrigin,
    TransformedExamples,
)
from bitext.components.artifacts.model import (
    Model,
    Sample,
    Vocabulary,
    is_saved_model,
    source_vocabulary_file,
    warm_up_file,
)
from bitext.components.artifacts.model_run import (
    ModelRun,
    Progress,
    SampleTranslation,
    Selection,
    TrainingSize,
    Validation,
    ValidationSamples,
)
from bitext.components.artifacts.pushed import (
    Pushed,
    PushedModel,
    RolledBack,
    ServedVersion,
    VersionMetadata,
    Withdrawal,
    model_digest,
)
from bitext.components.artifacts.rejects import Reject, Rejects, Summary
from bitext.components.artifacts.report import Report
from bitext.components.artifacts.schema import Schema
from bitext.components.artifacts.statistics import ExampleStatistics
from bitext.components.artifacts.transform_cache import DamagedEntryError, TransformCache
from bitext.components.artifacts.transform_graph import (
    OF_LEARNED,
    Segmentation,
    SideFiles,
    TextFile,
    TransformGraph,
    vocabulary_digest,
)
from bitext.components.artifacts.tuning import HyperParameters, Trial, TrialState, TunerResults

KINDS: tuple[type[Artifact], ...] = (
    Examples,
    TransformedExamples,
    Rejects,
    ExampleStatistics,
    Schema,
    ExampleAnomalies,
    TransformCache,
    TransformGraph,
    Model,
    ModelRun,
    ModelEvaluation,
    ModelBlessing,
    InfraBlessing,
    PushedModel,
    ServedVersion,
    Report,
    HyperParameters,
    TunerResults,
)
"""All kinds of artifacts."""


def kind_named(type_name: str) -> type[Artifact]:
    """Returns the kind with this name in the metadata store.

    Raises:
      StopIteration: there is no such kind.
    """
    return next(kind for kind in KINDS if type_name == kind.TYPE_NAME)


__all__ = [
    "CORPUS_PROPERTY",
    "KINDS",
    "OF_LEARNED",
    "ORIGIN_PROPERTY",
    "TEST_SPLIT",
    "TRAIN_SPLIT",
    "Aligned",
    "Artifact",
    "BaselineComparison",
    "Blessing",
    "Bucket",
    "DamagedEntryError",
    "ExampleAnomalies",
    "ExampleStatistics",
    "Examples",
    "HyperParameters",
    "InfraBlessing",
    "LengthRow",
    "Metrics",
    "Model",
    "ModelBlessing",
    "ModelEvaluation",
    "ModelRun",
    "PairOrigin",
    "Progress",
    "Property",
    "Pushed",
    "PushedModel",
    "Reject",
    "Rejects",
    "Report",
    "RolledBack",
    "Sample",
    "SampleTranslation",
    "Schema",
    "Segmentation",
    "Selection",
    "ServedVersion",
    "SideFiles",
    "Summary",
    "TextFile",
    "TrainingSize",
    "TransformCache",
    "TransformGraph",
    "TransformedExamples",
    "Translated",
    "Trial",
    "TrialState",
    "TrivialScore",
    "TunerResults",
    "Validation",
    "ValidationSamples",
    "Verdict",
    "VersionMetadata",
    "Vocabulary",
    "Withdrawal",
    "is_saved_model",
    "kind_named",
    "model_digest",
    "source_vocabulary_file",
    "span_label",
    "vocabulary_digest",
    "warm_up_file",
]
