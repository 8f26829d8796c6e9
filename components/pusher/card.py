"""The model card: what is known of a pushed model, as JSON for programs and as Markdown for people.

It is read from the artifacts the model was made and judged by. What is missing or damaged there is not on
record, which is no reason not to push: the card is silent about it.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bitext.components import artifacts
from bitext.components.pusher import Stated
from bitext.components.pusher.serving import Note, Withdrawal
from bitext.components.text import TextFile

JSON, MARKDOWN = Path("assets.extra/model_card.json"), Path("assets.extra/model_card.md")
FORMAT = 2
LISTED = 5
"""So many corpus files, and artifacts of an input, are in the Markdown; the others are counted."""

Input = artifacts.Artifact | Sequence[artifacts.Artifact]
T = TypeVar("T")

# What the Markdown tells of model.json; the JSON has all of it.
MAIN_SETTINGS = {
    "architecture": (
        *("model.cell", "model.encoder_layers", "model.encoder_units", "model.bidirectional"),
        *("model.decoder", "model.decoder_layers", "model.decoder_units"),
        *("model.attention", "model.attention_heads", "model.embedding_units"),
    ),
    "training": (
        *("steps", "batch_tokens", "accumulate", "learning_rate", "schedule", "label_smoothing"),
        *("average_decay", "precision", "seed", "warm_start"),
    ),
    "default search": ("search.beam_size", "search.length_penalty", "search.max_length"),
}


class Score(msgspec.Struct, frozen=True):
    """A metric with sacreBLEU's signature and its 95 % interval."""

    score: float
    signature: str
    interval: tuple[float, float] | None = None


class LengthRow(msgspec.Struct, frozen=True):
    """BLEU of the sources of `from` to `to` words (null: no upper end)."""

    first: int = msgspec.field(name="from")
    last: int | None = msgspec.field(name="to")
    sentences: int
    bleu: float


class Scores(msgspec.Struct, frozen=True):
    """What metrics.json says of the model: on `sentences` of the test split, and on the golden set if any."""

    bleu: Score
    chrf: Score
    perplexity: float | None
    length_ratio: float
    by_source_length: tuple[LengthRow, ...]
    sentences: int
    golden: Scores | None = None


class Data(msgspec.Struct, frozen=True):
    """What became of the corpus: the sums of all spans' summary.json, of ExampleGen.

    Attributes:
      golden_removed: pairs left out of training because their source is in the golden set.
      files: as they were configured, span by span.
      digests: sha256 of the files, where it is on record.
    """

    rows: int
    duplicates: int
    rejected: int
    reasons: dict[str, int]
    splits: dict[str, int]
    sources_also_in_train: dict[str, int]
    files: tuple[str, ...]
    golden_removed: int = 0
    digests: dict[str, str] = {}


class Origin(msgspec.Struct, frozen=True):
    """An artifact of the lineage.

    Attributes:
      type: its kind.
      artifact: `<node>/<output>/<execution>`, its folder below the pipeline root.
      digest: sha256 of its content, as it is on record; null if it is not.
    """

    type: str
    artifact: str
    digest: str | None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The content of model_card.json. What is null or empty is not on record.

    Attributes:
      format: 2. It changes when a field's name or meaning does.
      model, version: the serving folder's name, and the model's version there.
      digest: of the SavedModel's files, as in bitext.json.
      rolled_back_to: the earlier version that a rollback made this one a copy of.
      withdrawn: the models withdrawn by rollbacks, as in bitext.json.
      run_id: the run that pushed it, or brought this card up to date. It begins with the time, UTC.
      stated: what the configuration says of the model (`pusher.card`).
      scores: on the held-out split.
      blessings: the reasons of both blessings, by who gave them.
      forced: why a person had the model blessed whatever it scored.
      data: the corpus.
      over_long: pairs of the training split that have more tokens than is read of them.
      text: how text becomes tokens: text.json of Transform.
      weights: how many numbers were learnt.
      settings: the Trainer's parameters: model.json.
      software: versions of what it was trained with.
      lineage: the artifacts it comes from, by the name of the Pusher's input; a list where there is one for
        each span.
    """

    format: int = FORMAT
    model: str
    version: int
    digest: str
    rolled_back_to: int | None = None
    withdrawn: dict[str, Withdrawal] = {}
    run_id: str | None = None
    stated: Stated = Stated()
    scores: Scores | None = None
    blessings: dict[str, tuple[str, ...]] = {}
    forced: str | None = None
    data: Data | None = None
    over_long: int | None = None
    text: TextFile | None = None
    weights: int | None = None
    settings: dict[str, Any] = {}
    software: dict[str, str] = {}
    lineage: dict[str, Origin | tuple[Origin, ...]] = {}


class _Verdict(msgspec.Struct, frozen=True):
    reasons: tuple[str, ...] = ()
    forced: str | None = None


def collect(
    inputs: Mapping[str, Input],
    stated: Stated,
    model: str,
    version: int,
    note: Note,
    run_id: str,
) -> Card:
    """The card of a model.

    Args:
      inputs: the Pusher's, by name.
      stated: by the configuration.
      note: what is noted of the version.
      model, version, run_id: see `Card`.
    """
    single = {name: given for name, given in inputs.items() if isinstance(given, artifacts.Artifact)}
    folder = {name: artifact.path for name, artifact in single.items()}
    trained = single["model"].properties
    verdicts = {
        "Evaluator": _read(folder["blessing"] / "BLESSED", _Verdict),
        "InfraValidator": _read(folder["infra_blessing"] / "INFRA_BLESSED", _Verdict),
    }
    return Card(
        model=model,
        version=version,
        digest=note.digest,
        rolled_back_to=note.rolled_back_to,
        withdrawn=note.withdrawn,
        run_id=run_id or None,
        stated=stated,
        scores=_read(folder["evaluation"] / "metrics.json", Scores),
        blessings={who: verdict.reasons for who, verdict in verdicts.items() if verdict and verdict.reasons},
        forced=verdicts["Evaluator"].forced if verdicts["Evaluator"] else None,
        data=_sum(_read(span.path / "summary.json", Data) for span in _several(inputs["rejects"])),
        over_long=_number(single["transformed_examples"].properties.get("train_over_long")),
        text=_read(folder["transform_graph"] / "text.json", TextFile),
        weights=_number(trained.get("weights")),
        settings=_read(folder["model"] / "model.json", dict[str, Any]) or {},
        software={name: str(trained[name]) for name in ("python", "tensorflow") if name in trained},
        lineage={
            name: _origin(single[name]) if name in single else tuple(map(_origin, _several(given)))
            for name, given in inputs.items()
        },
    )


def again(version: Path, model: str, number: int, note: Note) -> Card:
    """The card of an earlier version, for the copy of it that a rollback makes version `number`."""
    card = _read(version / JSON, Card) or Card(model=model, version=number, digest=note.digest)
    return msgspec.structs.replace(
        card,
        format=FORMAT,
        model=model,
        version=number,
        rolled_back_to=note.rolled_back_to,
        withdrawn=note.withdrawn,
    )


def files(card: Card) -> dict[Path, bytes]:
    """The card's two files, by their place in the version's folder."""
    return {
        JSON: msgspec.json.format(msgspec.json.encode(card)) + b"\n",
        MARKDOWN: markdown(card).encode(),
    }


def _read(path: Path, kind: type[T]) -> T | None:
    """A JSON file; None if it is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _several(given: Input) -> Sequence[artifacts.Artifact]:
    return [given] if isinstance(given, artifacts.Artifact) else given


def _sum(spans: Iterable[Data | None]) -> Data | None:
    """The spans as one corpus; None unless all are on record."""
    found = list(spans)
    known = [data for data in found if data is not None]
    if not known or len(known) < len(found):
        return None

    def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
        sums: collections.Counter[str] = collections.Counter()
        for count in counts:
            sums.update(count)
        return dict(sums)

    return Data(
        rows=sum(data.rows for data in known),
        duplicates=sum(data.duplicates for data in known),
        rejected=sum(data.rejected for data in known),
        reasons=total(data.reasons for data in known),
        splits=total(data.splits for data in known),
        sources_also_in_train=total(data.sources_also_in_train for data in known),
        files=tuple(path for data in known for path in data.files),
        golden_removed=sum(data.golden_removed for data in known),
        digests={path: digest for data in known for path, digest in data.digests.items()},
    )


def _number(value: artifacts.Property | None) -> int | None:
    return value if isinstance(value, int) else None


def _origin(artifact: artifacts.Artifact) -> Origin:
    return Origin(artifact.TYPE_NAME, "/".join(artifact.path.parts[-3:]), artifact.digest)


# Markdown.


def markdown(card: Card) -> str:
    """The card for a person: what there is to say, and no empty sections."""
    sections = {
        "Scores": _scores(card),
        "Use and limits": _limits(card),
        "Data": _data(card),
        "Licence of the corpus": _licence(card.stated.licence),
        "Model": _model(card),
        "Lineage": _lineage(card),
    }
    title = f"# {_inline(card.model)}, version {card.version}"
    languages = f" from {_inline(card.stated.languages)}" if card.stated.languages else ""
    what = f"A Seq2Seq model that translates{languages}: a TensorFlow SavedModel, text in and text out."
    bodies = (f"## {name}\n\n{body}" for name, body in sections.items() if body)
    return "\n\n".join([title, what, *_rollback(card), *bodies]) + "\n"


def _rollback(card: Card) -> Iterator[str]:
    if card.rolled_back_to is None:
        return
    why = [
        f" Version {one.version} was withdrawn at {_inline(one.time)}: {_inline(one.reason)}"
        for one in card.withdrawn.values()
    ]
    yield f"**A rollback**: this is version {card.rolled_back_to} again.{why[-1] if why else ''}"


def _scores(card: Card) -> str:
    parts = []
    if (scores := card.scores) is not None:
        lines = [_score("BLEU", scores.bleu), _score("chrF", scores.chrf)]
        if scores.perplexity is not None:
            lines.append(f"- perplexity {scores.perplexity:.2f}")
        lines.append(f"- translations {scores.length_ratio:.3f} times as long as the references")
        parts.append(f"On {scores.sentences:,} held-out sentences, never trained on:\n\n" + "\n".join(lines))
        if scores.by_source_length:
            rows = (
                (
                    f"{row.first}-{row.last}" if row.last else f"{row.first}+",
                    f"{row.sentences:,}",
                    f"{row.bleu:.2f}",
                )
                for row in scores.by_source_length
            )
            parts.append(_table(("words of the source", "sentences", "BLEU"), rows))
        if (golden := scores.golden) is not None:
            lines = [_score("BLEU", golden.bleu), _score("chrF", golden.chrf)]
            parts.append(f"On the golden set, {golden.sentences:,} sentences:\n\n" + "\n".join(lines))
    if card.forced is not None:
        parts.append(f"**Blessed by force**, whatever it scored: {_inline(card.forced)}")
    reasons = [f"- {who}: {_inline('; '.join(reasons))}" for who, reasons in card.blessings.items()]
    if reasons:
        parts.append("Blessed by\n\n" + "\n".join(reasons))
    return "\n\n".join(parts)


def _score(name: str, score: Score) -> str:
    between = f" (95 % interval {score.interval[0]:.2f} to {score.interval[1]:.2f})" if score.interval else ""
    return f"- {name} {score.score:.2f}{between}, {_code(score.signature)}"


def _limits(card: Card) -> str:
    lines = ["It is for text like that it was trained on, a sentence at a time. Other text was not measured."]
    if card.text is not None:
        most = card.text.source_max_length
        lines.append(f"A sentence is read up to {most:,} tokens, its end included; what follows is ignored.")
    if longest := _setting(card.settings, "search.max_length"):
        lines.append(f"A translation has {_inline(longest)} tokens at most.")
    if card.text is not None and card.text.settings.lowercase:
        lines.append("Translations are lower case.")
    lines.append("A translation can be fluent and wrong: where it matters, have a person check it.")
    return "\n".join(f"- {line}" for line in lines)


def _data(card: Card) -> str:
    parts = [_inline(card.stated.corpus)] if card.stated.corpus else []
    if (data := card.data) is not None:
        parts.append(_table(("split", "pairs"), ((name, f"{n:,}") for name, n in data.splits.items())))
        reasons = ", ".join(f"{name} {count:,}" for name, count in data.reasons.items())
        told = [
            f"Of {data.rows:,} rows {data.duplicates:,} were dropped as exact duplicates, "
            f"{data.rejected:,} were refused{f' ({_inline(reasons)})' if reasons else ''}."
        ]
        shared = [f"{count:,} of {split}" for split, count in data.sources_also_in_train.items() if count]
        if shared:
            told.append(f"Sources that are in train too: {', '.join(shared)}.")
        if data.golden_removed:
            told.append(f"Pairs left out because their source is in the golden set: {data.golden_removed:,}.")
        if card.over_long:
            told.append(f"Pairs of train longer than is read of them: {card.over_long:,}.")
        parts.append(" ".join(told))
        shown = [
            f"- {_code(path)}" + (f", sha256 {_code(data.digests[path])}" if path in data.digests else "")
            for path in data.files[:LISTED]
        ]
        parts.append("\n".join([*shown, *(f"- {more}" for more in _more(data.files))]))
    return "\n\n".join(parts)


def _licence(licence: str) -> str:
    """As it was stated, in a quotation, which nothing in it can leave."""
    if not licence.strip():
        return "None was stated. Find out what the corpus allows before the model is passed on."
    return "\n".join(f"> {line}".rstrip() for line in licence.strip().splitlines())


def _model(card: Card) -> str:
    rows = []
    for subject, names in MAIN_SETTINGS.items():
        found = ((name.rpartition(".")[2], _setting(card.settings, name)) for name in names)
        if told := ", ".join(f"{name} {_inline(value)}" for name, value in found if value is not None):
            rows.append((subject, told))
    if card.text is not None:
        text = card.text
        sizes = (
            f"{text.source.size:,} shared"
            if text.shared
            else f"{text.source.size:,} and {text.target.size:,}"
        )
        rows.append(("vocabulary", f"{sizes}, unit {text.settings.unit}"))
    if card.weights is not None:
        rows.append(("weights", f"{card.weights:,}"))
    if card.software:
        rows.append(("trained with", ", ".join(f"{name} {_inline(v)}" for name, v in card.software.items())))
    return _table(("", ""), rows) if rows else ""


def _setting(settings: Mapping[str, Any], name: str) -> str | None:
    """The value at a dotted name; None if there is none."""
    value: Any = settings
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _lineage(card: Card) -> str:
    rows: list[tuple[str, ...]] = []
    for name, given in card.lineage.items():
        origins = (given,) if isinstance(given, Origin) else given
        rows += (
            (name, _code(o.artifact), _code(o.digest[:12]) if o.digest else "") for o in origins[:LISTED]
        )
        rows += ((name, more, "") for more in _more(origins))
    run = f", as of run {_code(card.run_id)}" if card.run_id else ""
    table = _table(("", "artifact", "sha256"), rows)
    return f"Below the pipeline's root{run}:\n\n{table}\n\nThe SavedModel: {_code(card.digest)}"


def _more(listed: Sequence[Any]) -> Iterator[str]:
    """How many are not shown, if any."""
    if len(listed) > LISTED:
        yield f"and {len(listed) - LISTED:,} more: see {_code(JSON.name)}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _inline(text: str) -> str:
    """Text as it is, in one line: nothing in it is Markdown. An underscore within a word is none anyway."""
    return re.sub(r"([\\`*{}\[\]<>#|&~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Text as code, in one line, whatever backticks are in it."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{text}{ticks}" if len(ticks) == 1 else f"{ticks} {text} {ticks}"
