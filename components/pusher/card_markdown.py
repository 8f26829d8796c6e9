"""The model card in Markdown, for people. It has no empty sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.artifacts import Metrics, ServedVersion
from bitext.components.pusher.card import Card, Origin
from bitext.components.seq2seq import ServingLimits
from bitext.components.shared.display import isolate, printable
from bitext.components.shared.metrics import METRICS

MAX_LISTED = 5
"""Largest number of corpus files, and of artifacts of an input, that are listed; the others are counted."""

MAIN_SETTINGS = {
    "architecture": (
        *("model.cell", "model.encoder_layers", "model.encoder_units", "model.bidirectional"),
        *("model.decoder", "model.decoder_layers", "model.decoder_units"),
        *("model.attention", "model.attention_heads", "model.embedding_units"),
    ),
    "training": (
        *("steps", "batch_tokens", "accumulate", "optimizer.learning_rate", "schedule.kind"),
        *("label_smoothing", "optimizer.average_decay", "precision", "seed", "warm_start.model"),
    ),
    "default search": ("search.beam_size", "search.length_penalty", "search.max_length"),
    "limits of a request": tuple(f"serving_limits.{name}" for name in ServingLimits.__struct_fields__),
}
"""The Trainer's parameters that the card shows, by the label of their row."""


_SYNTHETIC = {
    "forward": "training sources",
    "backward": "training targets",
    "monolingual_source": "monolingual sentences in the source language",
    "monolingual_target": "monolingual sentences in the target language (back-translation)",
}
"""What was translated for synthetic pairs, by `Card.synthetic`."""


def card_files(card: Card) -> dict[Path, bytes]:
    """Returns the card's two files: content by path below the version's folder."""
    return {
        ServedVersion.CARD_JSON: card.encode(),
        ServedVersion.CARD_MARKDOWN: markdown(card).encode(),
    }


def markdown(card: Card) -> str:
    """Returns the card as Markdown."""
    sections = {
        "Scores": _scores(card),
        "Use and limits": _limits(card),
        "Data": _data(card),
        "License of the corpus": _license(card.stated.licence),
        "Model": _model(card),
        "Lineage": _lineage(card),
    }
    title = f"# {_inline(card.model)}, version {card.version}"
    languages = f" from {_inline(card.stated.languages)}" if card.stated.languages else ""
    summary = f"A Seq2Seq model that translates{languages}: a TensorFlow SavedModel, text in and text out."
    bodies = (f"## {name}\n\n{body}" for name, body in sections.items() if body)
    return "\n\n".join([title, summary, *_rollback(card), *bodies]) + "\n"


def _rollback(card: Card) -> Iterator[str]:
    if card.rolled_back_to is None:
        return
    withdrawals = [
        f" Version {entry.version} was withdrawn at {_inline(entry.time)}: {_inline(entry.reason)}"
        for entry in card.withdrawn.values()
    ]
    latest = withdrawals[-1] if withdrawals else ""
    yield f"**A rollback**: this is version {card.rolled_back_to} again.{latest}"


def _scores(card: Card) -> str:
    parts = []
    if (scores := card.scores) is not None:
        lines = list(_corpus_scores(scores))
        if scores.perplexity is not None:
            lines.append(f"- perplexity {scores.perplexity:.2f}")
        unit = "" if scores.tokenizer is None else f", in tokens of the tokenizer {scores.tokenizer}"
        lines.append(f"- translations {scores.length_ratio:.3f} times as long as the references{unit}")
        parts.append(f"On {scores.sentences:,} held-out sentences, never trained on:\n\n" + "\n".join(lines))
        if scores.trivial:
            parts.append("For comparison, what needs no model:\n\n" + "\n".join(_trivial_scores(scores)))
        if scores.by_source_length:
            rows = (
                (
                    f"{row.first}-{row.last}" if row.last else f"{row.first}+",
                    f"{row.sentences:,}",
                    f"{row.bleu:.2f}",
                )
                for row in scores.by_source_length
            )
            parts.append(_table((f"{scores.source_unit} of the source", "sentences", "BLEU"), rows))
        if (golden := scores.golden) is not None:
            lines = list(_corpus_scores(golden))
            parts.append(f"On the golden set, {golden.sentences:,} sentences:\n\n" + "\n".join(lines))
        for name, metrics in scores.test_sets.items():
            lines = list(_corpus_scores(metrics))
            parts.append(f"On the test set {name}, {metrics.sentences:,} sentences:\n\n" + "\n".join(lines))
    if card.forced is not None:
        parts.append(f"**Blessed by force**, whatever its scores: {_inline(card.forced)}")
    reasons = [f"- {node}: {_inline('; '.join(reasons))}" for node, reasons in card.blessings.items()]
    if reasons:
        parts.append("Blessed by\n\n" + "\n".join(reasons))
    return "\n\n".join(parts)


def _corpus_scores(scores: Metrics) -> Iterator[str]:
    """Yields a line for each metric."""
    for metric in METRICS:
        if (score := scores.scores.get(metric.name)) is not None:
            low, high = score.interval
            yield (
                f"- {metric.label} {score.score:.2f} (95 % interval {low:.2f} to {high:.2f}), "
                f"{_code(score.signature)}"
            )


def _trivial_scores(scores: Metrics) -> Iterator[str]:
    """Yields a line for each trivial baseline."""
    for name, baseline in scores.trivial.items():
        values = [f"{m.label} {baseline.scores[m.name]:.2f}" for m in METRICS if m.name in baseline.scores]
        answer = f" ({_inline(baseline.text)})" if baseline.text else ""
        yield f"- {_inline(name.replace('_', ' '))}{answer}: {', '.join(values)}"


def _limits(card: Card) -> str:
    lines = [
        "It translates text like its training data, one sentence at a time. Other text was not measured."
    ]
    if card.text is not None:
        limit = card.text.source_max_length
        lines.append(f"A sentence is read up to {limit:,} tokens, its end included; the rest is ignored.")
    if max_length := _setting(card.settings, "search.max_length"):
        lines.append(f"A translation has at most {_inline(max_length)} tokens.")
    if card.text is not None and card.text.settings.lowercase:
        lines.append("Translations are lower case.")
    lines.append("A translation can be fluent and wrong: where it matters, have a person check it.")
    return "\n".join(f"- {line}" for line in lines)


def _data(card: Card) -> str:
    parts = [_inline(card.stated.corpus)] if card.stated.corpus else []
    if (data := card.data) is not None:
        parts.append(_table(("split", "pairs"), ((name, f"{n:,}") for name, n in data.splits.items())))
        reasons = ", ".join(f"{name} {count:,}" for name, count in data.reasons.items())
        sentences = [
            f"Of {data.rows:,} rows, {data.duplicates:,} were dropped as exact duplicates and "
            f"{data.rejected:,} were rejected{f' ({_inline(reasons)})' if reasons else ''}."
        ]
        shared = [f"{count:,} of {split}" for split, count in data.sources_also_in_train.items() if count]
        if shared:
            sentences.append(f"Sources that the training split has too: {', '.join(shared)}.")
        if data.golden_removed:
            sentences.append(
                f"Pairs left out because the golden set has their source: {data.golden_removed:,}."
            )
        if card.over_long:
            sentences.append(f"Training pairs with more tokens than the model reads: {card.over_long:,}.")
        parts.append(" ".join(sentences))
    if card.synthetic:
        parts.append(_synthetic(card.synthetic))
    if (data := card.data) is not None:
        files = [f"- {_code(path)}" for path in data.files[:MAX_LISTED]]
        parts.append("\n".join([*files, *(f"- {more}" for more in _more(data.files))]))
    return "\n\n".join(parts)


def _synthetic(counts: Mapping[str, int]) -> str:
    """Says how many synthetic pairs the model was trained on."""
    listed = ", ".join(f"{_SYNTHETIC.get(name, _inline(name))} {count:,}" for name, count in counts.items())
    return (
        f"The model was also trained on {sum(counts.values()):,} synthetic pairs, in which one side is the"
        f" translation of a teacher model: {listed}. The eval and test splits have none."
    )


def _license(text: str) -> str:
    """Returns the stated license as a block quotation, which no text in it can end."""
    if not text.strip():
        return "None was stated. Find out what the corpus allows before you pass the model on."
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _model(card: Card) -> str:
    rows = []
    for subject, names in MAIN_SETTINGS.items():
        values = ((_label(name), _setting(card.settings, name)) for name in names)
        if known := ", ".join(f"{name} {_inline(value)}" for name, value in values if value is not None):
            rows.append((subject, known))
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


def _label(name: str) -> str:
    """Returns the label of a setting: its name, without the section if the key alone is clear."""
    section, _, key = name.rpartition(".")
    return key if section in ("model", "search", "serving_limits", "optimizer") else name


def _setting(settings: Mapping[str, Any], name: str) -> str | None:
    """Returns the value at a dotted name; None if there is none."""
    value: Any = settings
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _lineage(card: Card) -> str:
    rows: list[tuple[str, ...]] = []
    for name, entry in card.lineage.items():
        origins = (entry,) if isinstance(entry, Origin) else entry
        rows += (
            (name, _code(o.artifact), _code(o.digest[:12]) if o.digest else "") for o in origins[:MAX_LISTED]
        )
        rows += ((name, more, "") for more in _more(origins))
    run = f", as of run {_code(card.run_id)}" if card.run_id else ""
    table = _table(("", "artifact", "sha256"), rows)
    return f"Below the pipeline's root{run}:\n\n{table}\n\nThe SavedModel: {_code(card.digest)}"


def _more(items: Sequence[Any]) -> Iterator[str]:
    """Yields the number of items that are not listed, if there are any."""
    if len(items) > MAX_LISTED:
        yield f"and {len(items) - MAX_LISTED:,} more: see {_code(ServedVersion.CARD_JSON.name)}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _inline(text: str) -> str:
    """Returns text on one line with Markdown escaped. An underscore inside a word needs no escape."""
    text = isolate(" ".join(text.split()))
    return re.sub(r"([\\`*{}\[\]<>#|&~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


def _code(text: str) -> str:
    """Returns text on one line as inline code. The text may have backticks."""
    text = isolate(printable(" ".join(text.split())))
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{text}{ticks}" if len(ticks) == 1 else f"{ticks} {text} {ticks}"
