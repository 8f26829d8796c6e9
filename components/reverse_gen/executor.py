"""Reads examples block by block, and writes them with source and target exchanged."""

from __future__ import annotations

from bitext.components import artifacts
from bitext.components.artifacts import CORPUS_PROPERTY
from bitext.components.component import Context
from bitext.components.reverse_gen import Parameters
from bitext.components.shared import directions, tfrecord
from bitext.components.shared.strings import without_tag

_KEPT_PROPERTIES = (CORPUS_PROPERTY, "span", "version")


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: artifacts.Examples,
    reversed_examples: artifacts.Examples,
) -> None:
    """Writes the train and eval splits with source and target exchanged. The ids stay.

    Args:
      parameters: the tags of the corpora.
      context: the run.
      examples: the examples of a span.
      reversed_examples: the output.

    Raises:
      DataError: a file is missing or damaged.
    """
    given = examples.properties
    tag = parameters.tags.get(examples.corpus, "")
    splits = ("train", "eval")
    total = sum(int(given.get(split, 0)) for split in splits)
    with context.progress("rows", total or None) as progress:
        for split in splits:
            files, rows = examples.files(split), 0
            for number, file in enumerate(files):
                with tfrecord.example_writer(reversed_examples.shard(split, number, len(files))) as write:
                    for batch in tfrecord.read_record_batches(file):
                        id_, source, target = (
                            tfrecord.string_column(batch, name, file) for name in ("id", "source", "target")
                        )
                        write({"id": id_, "source": target, "target": without_tag(source, tag)})
                        rows += batch.num_rows
                        progress.advance(batch.num_rows)
            reversed_examples.properties[split] = rows
    reversed_examples.properties.update({key: given[key] for key in _KEPT_PROPERTIES if key in given})
    reversed_examples.properties.update(directions.properties_of(directions.of(given)[::-1]))
    context.say(f"{reversed_examples.properties['train']:,} training pairs reversed")
