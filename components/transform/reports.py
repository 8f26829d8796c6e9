"""Records and prints what was written, from the counts of a pipeline of `writing`."""

from __future__ import annotations

from collections.abc import Mapping

from bitext.components.artifacts import Bucket, TransformedExamples
from bitext.components.component import Context
from bitext.components.shared.errors import DataError, EnvironmentFault
from bitext.components.transform import Augmentation, Parameters, fitting, plan
from bitext.components.transform.lengths import LengthCounts, Totals
from bitext.components.transform.plan import TRAIN, Plan, Shape, Shaped


def finish(
    parameters: Parameters, context: Context, lengths: Totals, written: Totals, output: TransformedExamples
) -> None:
    """Writes the list of buckets of every split; prints and records the counts.

    Args:
      parameters: Transform's parameters.
      context: the run, which prints messages.
      lengths: by split, the lengths of all examples before truncation.
      written: by split, the padded shapes of all examples that were written.
      output: the artifact, which has the files of the examples.

    Raises:
      DataError: all pairs of a split are over-long.
      EnvironmentFault: the engine has lost or repeated examples.
    """
    plans = Plan.of(parameters, lengths, plan.LIMITS)
    for split, shaped in plans.splits.items():
        if not shaped:
            raise DataError(
                f"every pair of the {split} split is longer than source_max_length "
                f"{parameters.source_max_length} or target_max_length {parameters.target_max_length} tokens",
                "raise these limits, or set `transform.over_long: truncate`",
            )
        _check(split, shaped, written[split])
        buckets = [_bucket(split, shape, examples, output) for shape, examples in shaped.items()]
        output.write_buckets(split, buckets)
        _report(parameters, context, split, lengths[split], shaped, output)


def _bucket(split: str, shape: Shape, examples: Shaped, output: TransformedExamples) -> Bucket:
    files = (output.bucket_file(split, shape, number, examples.files) for number in range(examples.files))
    return Bucket(
        source=shape[0],
        target=shape[1],
        examples=examples.lengths.total(),
        target_tokens=examples.lengths.target_tokens(),
        files=tuple(file.name for file in files),
    )


def _check(split: str, shaped: Mapping[Shape, Shaped], written: LengthCounts) -> None:
    """Compares what was written with what was counted when the text was tokenized."""
    columns = (written.source.tolist(), written.target.tolist(), written.count.tolist())
    counts = {(source, target): count for source, target, count in zip(*columns, strict=True)}
    expected = {shape: examples.lengths.total() for shape, examples in shaped.items()}
    if counts != expected:
        raise EnvironmentFault(
            f"the engine of Beam wrote {sum(counts.values()):,} examples of the {split} split, but was given "
            f"{sum(expected.values()):,}",
            "run again; if it happens again, use another runner (`beam.runner`)",
        )


def _report(
    parameters: Parameters,
    context: Context,
    split: str,
    lengths: LengthCounts,
    shaped: Mapping[Shape, Shaped],
    output: TransformedExamples,
) -> None:
    """Prints and records how many examples were written, left out or truncated, and the share of padding."""
    is_train = split == TRAIN
    samples = parameters.subword_samples if is_train else 1
    is_augmented = is_train and parameters.augmentation != Augmentation()
    accepted = lengths.accepted(parameters)
    positions = sum(sum(shape) * examples.lengths.total() for shape, examples in shaped.items())
    padding = 1 - accepted.tokens() / positions
    examples, over_long = accepted.total() // samples, lengths.over_long(parameters) // samples
    output.properties.update(
        {
            f"{split}_examples": examples,
            f"{split}_over_long": over_long,
            f"{split}_padding": round(padding, 4),
        }
    )
    action = "left out" if parameters.over_long == "reject" else "truncated"
    remarks = [
        *(["altered copies included"] if is_augmented else []),
        *([f"each in {samples} tokenizations"] if samples > 1 else []),
    ]
    remark = f", {', '.join(remarks)}," if remarks else ""
    context.say(
        f"{split}: {examples:,} pairs{remark} in {len(shaped)} shapes, {padding:.1%} padding; "
        f"{over_long:,} over-long {action}"
    )
    if is_train:
        for line in fitting.length_warnings(parameters, lengths):
            context.say(f"warning: {line}")
