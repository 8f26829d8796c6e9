"""The section "Vocabulary": its tokens, how it cuts words, and how it covers the held-out splits."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bitext.components.artifacts import TransformedExamples, TransformGraph
from bitext.components.artifacts.page import (
    Axis,
    Block,
    Cell,
    Chart,
    Column,
    Details,
    Fact,
    Facts,
    Section,
    Series,
    Table,
)
from bitext.components.reporter.subwords import corpus
from bitext.components.reporter.subwords.corpus import Tokens
from bitext.components.reporter.subwords.side import Side
from bitext.components.shared.spacing import evenly
from bitext.components.text import SPECIALS, UNK_ID
from bitext.schemas import scripts

MEASURED_ROWS = 400_000
"""The most examples of a split that are measured: about 4 s of CPU time."""
SHOWN_TOKENS = 20
"""The most tokens shown of a kind."""
BANDS = (1_000, 100, 10, 1)
"""The frequencies of which example words are shown."""
SHOWN_WORDS = 5
"""The most example words of a frequency."""
_MOST_PIECES = 8
_RANKS = 60
SIDES = ("source", "target")


def section(graph: TransformGraph, examples: TransformedExamples) -> Section:
    """Returns the section.

    Args:
      graph: the vocabulary.
      examples: the token ids of the splits.

    Raises:
      DataError: a file is missing or damaged.
    """
    text = graph.text()
    present = examples.splits()
    splits: list[str] = [split for split in ("train", "eval", "test") if split in present]
    read = {split: corpus.tokens(examples, split, MEASURED_ROWS) for split in splits}
    sides = []
    for name in SIDES:
        pieces = corpus.pieces(graph, getattr(text, name))
        tokens = {split: read[split][name] for split in splits}
        words = {split: corpus.words(tokens[split], pieces) for split in splits}
        train = tokens["train"].ids if "train" in tokens else np.zeros(0, np.int64)
        uses = np.bincount(train, minlength=len(pieces.names))
        sides.append(Side(name, pieces, tokens, words, uses))
    blocks: list[Block] = [Facts(facts=tuple(_facts(sides, text.shared, text.settings.unit)))]
    blocks.append(_coverage(sides))
    if any(side.has_words for side in sides):
        blocks += [_cut_words(side) for side in sides if side.has_words]
        blocks.append(_pieces_chart([side for side in sides if side.has_words]))
    blocks.append(_rank_chart(sides))
    blocks += _token_tables(sides, text.shared)
    note = _measured(read, splits)
    return Section(id="vocabulary", title="Vocabulary", summary=note, blocks=tuple(blocks))


def _measured(read: Mapping[str, Mapping[str, Tokens]], splits: Sequence[str]) -> str:
    parts = [
        f"{split} {found.sentences:,}" + (f" of {found.of:,}" if found.of > found.sentences else "")
        for split in splits
        for found in [read[split]["source"]]
    ]
    return f"Measured on the sentences that the model reads: {', '.join(parts)}."


def _never_used(sides: list[Side], shared: bool) -> list[tuple[str, list[str]]]:
    """The pieces that the training examples never use, besides special tokens and bytes, by side."""
    if shared:
        uses = sides[0].uses + sides[1].uses
        both = dataclasses.replace(sides[0], name="both sides", uses=uses)
        return _never_used([both], shared=False)
    return [
        (
            side.name,
            [
                name
                for id_, name in enumerate(side.pieces.names)
                if not side.uses[id_] and side.pieces.texts[id_]
            ],
        )
        for side in sides
    ]


def _unused_in(sides: list[Side]) -> str:
    """Says of tokens that the measured training examples do not use them."""
    data = sides[0].data("train")
    return f"never used in {data}" if sides[0].is_whole("train") else f"not used in {data}"


def _facts(sides: list[Side], shared: bool, unit: str) -> Iterator[Fact]:
    if shared:
        yield Fact(
            label="vocabulary", value=f"{len(sides[0].pieces.names):,}", note=f"one of both sides, {unit}"
        )
    else:
        for side in sides:
            yield Fact(label=f"{side.name} vocabulary", value=f"{len(side.pieces.names):,}", note=unit)
    for side in sides:
        words = side.words.get("train")
        if words is not None and words.total and side.has_words:
            yield Fact(
                label=f"{side.name} pieces a word",
                value=f"{words.pieces / words.total:.2f}",
                note=f"in {side.data('train')}",
            )
    for name, unused in _never_used(sides, shared):
        of_side = "" if shared else f"{name} "
        yield Fact(label=f"{of_side}tokens {_unused_in(sides)}", value=f"{len(unused):,}")


def _coverage(sides: list[Side]) -> Table:
    """How the vocabulary covers each split."""
    rows: list[tuple[Cell, ...]] = []
    for side in sides:
        train = side.words.get("train")
        lengths = np.array([len(text) for text in side.pieces.texts])
        for split, found in side.tokens.items():
            if not (count := len(found.ids)):
                continue
            words = side.words[split]
            known = words if side.has_words and words.total else None
            unseen = None
            if known is not None and train is not None and split != "train":
                unseen = float(words.counts[~np.isin(words.hashes, train.hashes)].sum() / words.total)
            rows.append(
                (
                    f"{side.name}, {side.data(split)}",
                    count / max(found.sentences, 1),
                    float(lengths[found.ids].sum() / count),
                    words.pieces / words.total if known is not None else None,
                    float((found.ids == UNK_ID).mean()),
                    float(side.pieces.is_byte[found.ids].mean()),
                    unseen,
                )
            )
    return Table(
        title="Coverage of the splits",
        columns=(
            Column(title="data"),
            Column(title="tokens a sentence", content="number", digits=1),
            Column(title="characters a token", content="number", digits=2),
            Column(title="pieces a word", content="number", digits=2),
            Column(title="unknown tokens", content="share", digits=2),
            Column(title="byte tokens", content="share", digits=2),
            Column(title=f"words not in {sides[0].data('train')}", content="share", digits=2),
        ),
        rows=tuple(rows),
        note="A character that is not in the vocabulary becomes its bytes; if only whole words are tokens,"
        " another word is unknown. A word is what lies between blanks and punctuation.",
    )


def _cut_words(side: Side) -> Table:
    """Words of several frequencies with their pieces."""
    rows: list[tuple[Cell, ...]] = []
    train = side.words.get("train")
    if train is not None and train.total:
        order = np.argsort(-train.counts, kind="stable")
        chosen = dict.fromkeys(order[:SHOWN_WORDS].tolist())
        for band in BANDS:
            near = order[(train.counts[order] <= band * 1.25) & (train.counts[order] >= band * 0.8)]
            chosen |= dict.fromkeys(evenly(near.tolist(), SHOWN_WORDS))
        for word in chosen:
            rows.append(_cut(side, "train", word, int(train.counts[word])))
        for split, words in side.words.items():
            if split != "train":
                unseen = np.flatnonzero(~np.isin(words.hashes, train.hashes))
                rows += [_cut(side, split, word, 0) for word in evenly(unseen.tolist(), SHOWN_WORDS)]
    return Table(
        title=f"How words are cut: {side.name}",
        columns=(
            Column(title="word", content="corpus"),
            Column(title=f"uses in {side.data('train')}", content="number"),
            Column(title="pieces", content="corpus"),
            Column(title="number of pieces", content="number"),
        ),
        rows=tuple(dict.fromkeys(rows)),
        note="The most frequent words, words of several frequencies, and words of the held-out splits that"
        f" are not in {side.data('train')} (0 uses).",
    )


def _cut(side: Side, split: str, word: int, uses: int) -> tuple[Cell, ...]:
    words, ids = side.words[split], side.tokens[split].ids
    start, length = int(words.starts[word]), int(words.lengths[word])
    of_word = ids[start : start + length].tolist()
    pieces = " ".join(side.pieces.names[id_] for id_ in of_word)
    return side.pieces.word(of_word), uses, pieces, length


def _pieces_chart(sides: list[Side]) -> Chart:
    """The share of words by their number of pieces."""
    series, ones = [], []
    for side in sides:
        for split, words in side.words.items():
            if not words.total:
                continue
            counts = np.bincount(
                np.minimum(words.lengths, _MOST_PIECES), weights=words.counts, minlength=_MOST_PIECES + 1
            )[1:]
            x = (*map(str, range(1, _MOST_PIECES)), f"{_MOST_PIECES}+")
            is_main = side is sides[0] and split == "train"
            series.append(
                Series(
                    name=f"{side.name}, {side.data(split)}",
                    x=x,
                    y=tuple(round(float(count / words.total), 5) for count in counts),
                    role="main" if is_main else "other",
                )
            )
            ones.append(f"{side.name}, {side.data(split)}: {counts[0] / words.total:.1%}")
    return Chart(
        form="bar",
        title="Pieces of a word",
        x=Axis(title="pieces", scale="ordinal"),
        y=Axis(title="share of the words"),
        series=tuple(series),
        alternative=f"Words of one piece: {'; '.join(ones)}.",
    )


def _rank_chart(sides: list[Side]) -> Chart:
    """The uses of each token by its rank."""
    series, medians = [], []
    data = sides[0].data("train")
    for side in sides:
        uses = -np.sort(-side.uses[side.uses > 0])
        if not len(uses):
            continue
        ranks = np.unique(np.geomspace(1, len(uses), _RANKS).round().astype(int))
        series.append(
            Series(
                name=side.name,
                x=tuple(float(rank) for rank in ranks),
                y=tuple(float(uses[rank - 1]) for rank in ranks),
                role="main" if side is sides[0] else "other",
            )
        )
        rare = float((uses < 10).mean())
        medians.append(f"{side.name}: {len(uses):,} tokens are used, {rare:.1%} of them less than ten times")
    return Chart(
        form="line",
        title=f"Uses of the tokens in {data}",
        x=Axis(title="rank of the token", scale="log"),
        y=Axis(title="uses", scale="log"),
        series=tuple(series),
        alternative=f"In {data}: {'; '.join(medians)}.",
    )


def _token_tables(sides: list[Side], shared: bool) -> Iterator[Block]:
    """Yields the longest tokens, the tokens by script, and those that are never used."""
    data = sides[0].data("train")
    for side in sides[:1] if shared else sides:
        uses = sides[0].uses + sides[1].uses if shared else side.uses
        name = "" if shared else f": {side.name}"
        texts = side.pieces.texts
        longest = sorted(range(len(texts)), key=lambda id_: (-len(texts[id_]), id_))[:SHOWN_TOKENS]
        yield Table(
            title=f"The longest tokens{name}",
            columns=(
                Column(title="token", content="corpus"),
                Column(title="characters", content="number"),
                Column(title=f"uses in {data}", content="number"),
            ),
            rows=tuple((side.pieces.names[id_], len(texts[id_]), int(uses[id_])) for id_ in longest),
        )
        yield _by_script(side, uses, name)
    for name, unused in _never_used(sides, shared):
        if unused:
            shown = unused[: 10 * SHOWN_TOKENS]
            title = f"Tokens {_unused_in(sides)}, {name}: {len(unused):,}"
            columns = (Column(title="token", content="corpus"),)
            table = Table(title=title, columns=columns, rows=tuple((token,) for token in shown))
            yield Details(summary=title, blocks=(table,))


def _by_script(side: Side, uses: corpus.Ints, name: str) -> Table:
    """The tokens and their uses by script."""
    tokens: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for id_, text in enumerate(side.pieces.texts):
        letters = [script for c in text if (script := scripts.script_of(c)) != scripts.NONE]
        if id_ < len(SPECIALS):
            kind = "special tokens"
        elif side.pieces.is_byte[id_]:
            kind = "bytes"
        else:
            kind = letters[0] if letters else "digits and marks"
        tokens[kind] += 1
        used[kind] += int(uses[id_])
    total = max(sum(used.values()), 1)
    return Table(
        title=f"Tokens by script{name}",
        columns=(
            Column(title="script"),
            Column(title="tokens", content="number"),
            Column(title=f"share of the uses in {side.data('train')}", content="share", digits=2),
        ),
        rows=tuple((kind, count, used[kind] / total) for kind, count in tokens.most_common()),
    )
