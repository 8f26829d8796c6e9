"""The section `augmentation`: synthetic pairs that teacher models make for the training."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bitext.components.artifacts import PairOrigin
from bitext.components.component import Parameters
from bitext.components.example_gen import Tag
from bitext.components.example_gen.formats.decoding import check_encoding
from bitext.components.shared.corpus_size import Auto
from bitext.components.shared.path_types import PathPattern
from bitext.components.trainer import Parameters as TrainerParameters

Count = Annotated[int, msgspec.Meta(ge=1)]
Weight = Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)]


TEACHER_NODES = (
    "MonolingualGen.source",
    "MonolingualGen.target",
    "Transform.forward_teacher",
    "Trainer.forward_teacher",
    "ReverseGen.backward_teacher",
    "Transform.backward_teacher",
    "Trainer.backward_teacher",
    *(f"BulkInferrer.{origin.value}" for origin in PairOrigin),
)
"""The nodes that make synthetic pairs: those of the teachers, and one for each kind of pairs."""


class MonolingualFiles(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Text files in one language.

    Attributes:
      files: paths or globs of text files with one sentence a line, local or remote; those ending in .gz,
        .bz2, .xz or .zst are decompressed.
      encoding: how the text is encoded, as `example_gen.encoding`.
      max_sentences: the most sentences that are translated. They are chosen by a hash, and are the same in
        every run; null: all.
      weight: how often each synthetic pair is seen, relative to 1.
    """

    files: tuple[PathPattern, ...] = ()
    encoding: str = "utf-8"
    max_sentences: Count | None = None
    weight: Weight = 1.0

    def __post_init__(self) -> None:
        check_encoding(self.encoding)
        if not self.files and (self.max_sentences is not None or self.weight != 1.0):
            raise ValueError("max_sentences or weight is given, but files names no file")


class Monolingual(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Monolingual text that becomes synthetic pairs.

    Attributes:
      source: text in the source language. A teacher of the direction of the model translates it.
      target: text in the target language. A teacher of the opposite direction translates it
        (back-translation: Sennrich et al. 2016).
      tag: a token before every source of back-translation, by which the model tells it from text of people
        (Caswell et al. 2019). No text to translate gets it. Empty: none.
    """

    source: MonolingualFiles = MonolingualFiles()
    target: MonolingualFiles = MonolingualFiles()
    tag: Tag = "<bt>"


class Augmentation(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Synthetic training pairs, made by teachers: models that the pipeline trains on the bitext first.

    The student, which is evaluated and pushed, is trained on the bitext and the synthetic pairs. Its eval
    split, the test split and all test sets have no synthetic pair.

    Attributes:
      directions: which sides of the training split are translated. `forward`: every training source, by a
        teacher of the direction of the model (self-distillation); `backward`: every training target, by a
        teacher of the opposite direction; `both` (data diversification: Nguyen et al. 2020); `none`: only
        monolingual text is translated.
      monolingual: monolingual files that are translated.
      teacher_steps: maximum number of updates of each teacher; null: `teacher.steps`.
      teacher: the training of the teachers, as in `trainer`. They take nothing from `trainer`, so that a
        change there does not train them again.
      beam_size: beam size of the translation; null: `teacher.search.beam_size`.
      max_length_ratio: a synthetic pair is dropped if the ratio of its lengths differs from that of the
        held-out pairs by more than this factor. It is checked from `example_gen.ratio_from_characters` on.
      weight: how often each synthetic pair of the training split is seen, relative to 1, as `weight` of a
        corpus.
    """

    directions: Literal["both", "forward", "backward", "none"] = "both"
    monolingual: Monolingual = Monolingual()
    teacher_steps: Count | Auto | None = None
    teacher: TrainerParameters = TrainerParameters()
    beam_size: Count | None = None
    max_length_ratio: Annotated[float, msgspec.Meta(ge=1.0)] = 3.0
    weight: Weight = 1.0

    def __post_init__(self) -> None:
        teacher = self.teacher
        if not self.origins:
            raise ValueError(
                "directions is none and monolingual names no files: there is nothing to translate. Leave out"
                " augmentation, or give files"
            )
        if teacher.warm_start.model is not None:
            raise ValueError(
                "teacher.warm_start must be left out: teachers are trained from scratch. Received model:"
                f" {teacher.warm_start.model}"
            )
        if teacher.distribute.workers > 1:
            raise ValueError(
                "teacher.distribute.workers must be 1: teachers are trained in the process of `bitext run`."
                f" Received: {teacher.distribute.workers}"
            )
        if isinstance(self.teacher_steps, int) and teacher.schedule.warmup_steps >= self.teacher_steps:
            raise ValueError(
                "teacher.schedule.warmup_steps must be below teacher_steps. Received:"
                f" {teacher.schedule.warmup_steps} and {self.teacher_steps}"
            )
        most = teacher.serving_limits.beam_size
        if self.beam_size is not None and self.beam_size > most:
            raise ValueError(
                "beam_size must not be above teacher.serving_limits.beam_size. Received:"
                f" {self.beam_size} and {most}"
            )

    @property
    def origins(self) -> tuple[PairOrigin, ...]:
        """The kinds of synthetic pairs, in the order in which the student reads them."""
        is_wanted = {
            PairOrigin.FORWARD: self.directions in ("both", "forward"),
            PairOrigin.MONOLINGUAL_SOURCE: bool(self.monolingual.source.files),
            PairOrigin.BACKWARD: self.directions in ("both", "backward"),
            PairOrigin.MONOLINGUAL_TARGET: bool(self.monolingual.target.files),
        }
        return tuple(origin for origin, wanted in is_wanted.items() if wanted)

    def files_of(self, origin: PairOrigin) -> MonolingualFiles:
        """The monolingual files of a kind of synthetic pairs; without files for those of the bitext."""
        if not origin.is_monolingual:
            return MonolingualFiles()
        return self.monolingual.source if origin.given_side == "source" else self.monolingual.target

    def weight_of(self, origin: PairOrigin) -> float:
        """How often each pair of a kind is seen."""
        return self.files_of(origin).weight if origin.is_monolingual else self.weight

    def tag_of(self, origin: PairOrigin) -> str:
        """The token before the sources of a kind of pairs; empty: none."""
        return self.monolingual.tag if origin == PairOrigin.MONOLINGUAL_TARGET else ""

    @property
    def teacher_parameters(self) -> TrainerParameters:
        """The parameters of a teacher's Trainer."""
        steps = self.teacher.steps if self.teacher_steps is None else self.teacher_steps
        return msgspec.structs.replace(self.teacher, steps=steps)
