"""The nodes of the teachers, and of the synthetic pairs that they make for the training of the student.

They are between the checks of the data and the student's Transform::

    examples -> Transform.forward_teacher -> Trainer.forward_teacher -> BulkInferrer.forward -> Transform
    examples -> ReverseGen -> Transform.backward_teacher -> Trainer.backward_teacher -> BulkInferrer.backward
             -> Transform
    files -> MonolingualGen.target -> BulkInferrer.monolingual_target -> Transform

The student's Transform reads the synthetic pairs as further corpora beside the bitext. It leaves out those
that equal a pair of the bitext or have a held-out source, and applies their weights and tags; the counts of
the words of the bitext stay cached. No node in between copies the bitext, and eval and test stay those of
ExampleGen.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bitext.components.artifacts import PairOrigin
from bitext.components.bulk_inferrer import BulkInferrer
from bitext.components.bulk_inferrer import Parameters as BulkInferrerParameters
from bitext.components.example_gen import MonolingualGen, MonolingualParameters
from bitext.components.reverse_gen import Parameters as ReverseGenParameters
from bitext.components.reverse_gen import ReverseGen
from bitext.components.shared.metrics.tokenizers import AUTO
from bitext.components.trainer import Parameters as TrainerParameters
from bitext.components.trainer import Trainer
from bitext.components.transform import CorpusUse, Transform, WeightedParameters
from bitext.pipeline.config import Augmentation, PipelineConfig
from bitext.pipeline.sources import NewestOutput, Node, Output, Source

SHORTEST_TARGET = 3
"""The smallest `target_max_length`."""


def corpus_uses(section: Augmentation) -> tuple[CorpusUse, ...]:
    """How the student's Transform uses the synthetic pairs."""
    return tuple(
        CorpusUse(origin.corpus, section.weight_of(origin), section.tag_of(origin))
        for origin in section.origins
    )


def nodes(
    config: PipelineConfig, section: Augmentation, transform: WeightedParameters, data: Mapping[str, Node]
) -> tuple[list[Node], list[Output]]:
    """Returns the nodes in order, and the outputs that have synthetic pairs.

    Args:
      config: the configuration.
      section: its section `augmentation`.
      transform: the parameters of Transform for the bitext alone.
      data: the nodes up to ExampleValidator, by name.
    """
    sentences = {
        origin: _monolingual(config, section, transform, data, origin)
        for origin in section.origins
        if origin.is_monolingual
    }
    every = list(sentences.values())  # first: a bad file is reported before hours of training
    pairs: list[Output] = []
    for given_side, teach in (("source", _forward_teacher), ("target", _backward_teacher)):
        origins = [origin for origin in section.origins if origin.given_side == given_side]
        if not origins:
            continue
        every += teach(config, section, transform, data)
        model = every[-1]["model"]
        for origin in origins:
            examples = (sentences.get(origin) or data["ExampleGen"])["examples"]
            inferrer = _inferrer(config, section, transform, data, origin, model, examples)
            every.append(inferrer)
            pairs.append(inferrer["output_examples"])
    return every, pairs


def _forward_teacher(
    config: PipelineConfig, section: Augmentation, transform: WeightedParameters, data: Mapping[str, Node]
) -> list[Node]:
    """The nodes that train the teacher of the direction of the model, its Trainer last."""
    evaluator, teacher = config.evaluator, section.teacher_parameters
    validation = teacher.validation
    tokenize = evaluator.tokenize if validation.tokenize is None else validation.tokenize
    return _training(
        "forward_teacher", config, teacher, tokenize, transform, data["ExampleGen"]["examples"], data
    )


def _backward_teacher(
    config: PipelineConfig, section: Augmentation, transform: WeightedParameters, data: Mapping[str, Node]
) -> list[Node]:
    """The nodes that train the teacher of the opposite direction, its Trainer last.

    What the configuration says of one side is of the other side for it. Corpora have no tags: they are before
    the sources, which are its targets.
    """
    purpose = "backward_teacher"
    uses = [msgspec.structs.replace(use, tag="") for use in transform.corpora]
    reverse = Node(
        ReverseGen(),
        ReverseGenParameters(tags=_tags(transform)),
        {"examples": data["ExampleGen"]["examples"]},
        purpose,
    )
    reversed_transform = msgspec.structs.replace(
        transform,
        corpora=tuple(uses),
        source_language="",
        source_vocabulary_file=transform.target_vocabulary_file,
        target_vocabulary_file=transform.source_vocabulary_file,
        source_max_length=transform.target_max_length,
        target_max_length=max(transform.source_max_length, SHORTEST_TARGET),
    )
    teacher = section.teacher_parameters
    vectors = teacher.embeddings
    teacher = msgspec.structs.replace(
        teacher, embeddings=msgspec.structs.replace(vectors, source=vectors.target, target=vectors.source)
    )
    examples = reverse["reversed_examples"]
    return [reverse, *_training(purpose, config, teacher, AUTO, reversed_transform, examples, data)]


def _training(
    purpose: str,
    config: PipelineConfig,
    teacher: TrainerParameters,
    tokenize: str,
    transform: WeightedParameters,
    examples: Output,
    data: Mapping[str, Node],
) -> list[Node]:
    """The nodes that turn examples into token ids and train a teacher on them."""
    evaluator, validation = config.evaluator, teacher.validation
    validation = msgspec.structs.replace(
        validation,
        tokenize=tokenize,
        lowercase=evaluator.lowercase if validation.lowercase is None else validation.lowercase,
        references=evaluator.references if validation.references is None else validation.references,
    )
    longest = max(teacher.search.max_length, transform.target_max_length - 1)
    teacher = msgspec.structs.replace(
        teacher, validation=validation, search=msgspec.structs.replace(teacher.search, max_length=longest)
    )
    transformed = Node(
        Transform(),
        transform,
        {
            "examples": examples,
            "schema": data["SchemaGen"]["schema"],
            "analyzer_cache": NewestOutput("updated_analyzer_cache"),
        },
        purpose,
    )
    trainer = Node(
        Trainer(),
        teacher,
        {
            "transformed_examples": transformed["transformed_examples"],
            "transform_graph": transformed["transform_graph"],
            "examples": examples,
        },
        purpose,
    )
    return [transformed, trainer]


def _inferrer(
    config: PipelineConfig,
    section: Augmentation,
    transform: WeightedParameters,
    data: Mapping[str, Node],
    origin: PairOrigin,
    model: Output,
    examples: Output,
) -> Node:
    """The node that translates one side of examples."""
    bitext = data["ExampleGen"]["examples"]
    inputs = {"examples": examples, "model": model, "held_out": bitext} | _golden(data)
    parameters = BulkInferrerParameters(
        origin=origin,
        beam_size=section.beam_size,
        max_length_ratio=section.max_length_ratio,
        ratio_from_characters=config.example_gen.ratio_from_characters,
        tags=_tags(transform),
        tag=section.tag_of(origin),
    )
    return Node(BulkInferrer(), parameters, inputs, origin.value)


def _monolingual(
    config: PipelineConfig,
    section: Augmentation,
    transform: WeightedParameters,
    data: Mapping[str, Node],
    origin: PairOrigin,
) -> Node:
    """The node that reads monolingual files."""
    given, options = section.files_of(origin), config.example_gen
    parameters = MonolingualParameters(
        side="source" if origin.given_side == "source" else "target",
        files=given.files,
        encoding=given.encoding,
        max_sentences=given.max_sentences,
        max_characters=options.max_characters,
        max_reject_share=options.max_reject_share,
        cleaning=options.cleaning,
        tags=_tags(transform),
    )
    inputs = {"bitext": data["ExampleGen"]["examples"]} | _golden(data)
    return Node(MonolingualGen(), parameters, inputs, origin.given_side)


def _golden(data: Mapping[str, Node]) -> dict[str, Source]:
    """The input with the golden set and the test sets, if there are any."""
    return {"golden": data["GoldenGen"]["examples"]} if "GoldenGen" in data else {}


def _tags(transform: WeightedParameters) -> dict[str, str]:
    """The tags of corpora by name."""
    return {use.name: use.tag for use in transform.corpora if use.tag}
