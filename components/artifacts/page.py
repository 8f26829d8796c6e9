"""The content of a page: sections of blocks (texts, tables, charts, sentences), without any layout.

The Reporter computes sections from artifacts; `components/pages` renders them as HTML. All strings are plain
text, and may be hostile: a renderer escapes them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Cell = str | int | float | None
"""A value of a table; None: there is none."""
Tone = Literal["plain", "good", "warning", "bad"]
"""How a text is marked. The text says the same in words."""


class _Block(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """Base class of blocks. In JSON, the field `kind` names the class."""


class Text(_Block, frozen=True, tag="text"):
    """A paragraph.

    Attributes:
      text: the text.
      tone: how it is marked.
    """

    text: str
    tone: Tone = "plain"


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """A figure with its name.

    Attributes:
      label: its name: `BLEU`.
      value: the figure: `39.51`.
      note: what stands beside it: `[38.25, 40.86]`.
      tone: how it is marked.
    """

    label: str
    value: str
    note: str = ""
    tone: Tone = "plain"


class Facts(_Block, frozen=True, tag="facts"):
    """Figures that stand side by side.

    Attributes:
      facts: the figures.
    """

    facts: tuple[Fact, ...]


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column of a table.

    Attributes:
      title: its title.
      content: `text`; `corpus`, text of the corpus, which may be in any language and direction; `number`;
        `share`, a number from 0 to 1 that is shown in percent; `seconds`, a duration; `place`, a file and
        line, or a path; `run`, a run's id, which links to the run's page.
      digits: the digits after the point of numbers, percentages and durations.
      linked: of content `run`, the runs that have a page; None: all have.
    """

    title: str
    content: Literal["text", "corpus", "number", "share", "seconds", "place", "run"] = "text"
    digits: int = 0
    linked: frozenset[str] | None = None


class Table(_Block, frozen=True, tag="table"):
    """A table. A reader can sort it by every column, and search a long one.

    Attributes:
      title: what it shows.
      columns: its columns.
      rows: a value for each column. The values of the first column are the rows' names.
      note: what a reader must know to read it.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


class Axis(msgspec.Struct, frozen=True, omit_defaults=True):
    """An axis of a chart.

    Attributes:
      title: its title, with the unit: `source length (words)`.
      scale: `linear`; `log`; `ordinal`, names in the order in which they are given; `time`, seconds since the
        epoch.
      zero: whether a linear axis begins at 0.
    """

    title: str
    scale: Literal["linear", "log", "ordinal", "time"] = "linear"
    zero: bool = True


class Series(msgspec.Struct, frozen=True, omit_defaults=True):
    """The points of a chart that belong together.

    Attributes:
      name: its name in the legend.
      x: the position of each point; strings on an ordinal axis.
      y: the value of each point; None: it has none.
      low: the lower end of each point's interval; empty: there are none.
      high: the upper end.
      labels: what is shown of each point besides x and y; empty: nothing.
      role: `main`, this run; `other`, what it is compared with (the served model, the target side, another
        split), in an order of its own; `earlier`, an earlier run, behind the others.
      marked: positions in `x` of the points that are marked: the best validation.
    """

    name: str
    x: tuple[str | float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    labels: tuple[str, ...] = ()
    role: Literal["main", "other", "earlier"] = "main"
    marked: tuple[int, ...] = ()


class Chart(_Block, frozen=True, tag="chart"):
    """A chart of series with common axes.

    Attributes:
      form: `line`; `bar`, bars side by side; `histogram`, bars without gaps, whose `x` is the lower end of
        each bin; `scatter`.
      title: what it shows.
      x: the horizontal axis.
      y: the vertical axis.
      series: its series.
      alternative: what it shows in one or two sentences, with figures, for those who do not see it.
      diagonal: whether the line y = x is drawn, to compare two scores.
    """

    form: Literal["line", "bar", "histogram", "scatter"]
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    alternative: str
    diagonal: bool = False


class Alignment(msgspec.Struct, frozen=True):
    """The attention of a translation.

    Attributes:
      source: the source tokens, `</s>` included.
      target: the target tokens, `</s>` included.
      weights: for each target token, the weight of each source token in percent.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: tuple[tuple[int, ...], ...]


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A translation of a sentence.

    Attributes:
      name: whose it is: `this model`, `served model`, `run 20260131T120000Z-1a2b`.
      text: the translation.
      scores: its sentence scores by metric.
      differing: the parts that the closest reference does not have, as pairs of positions in `text`, in
        characters.
      alignment: its attention; None: not recorded.
    """

    name: str
    text: str
    scores: dict[str, float] = {}
    differing: tuple[tuple[int, int], ...] = ()
    alignment: Alignment | None = None


class SentenceRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A held-out sentence with its translations.

    Attributes:
      id: the id of its example.
      source: the sentence.
      references: its reference translations.
      candidates: its translations; the first is that of this run.
      labels: the groups that it belongs to: `worst`, `most improved`, `random`, `repetition`.
      facts: other properties by name, to filter and sort by: `corpus`, `source length`, `rarest word`.
    """

    id: str
    source: str
    references: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    labels: tuple[str, ...] = ()
    facts: dict[str, Cell] = {}


class Sentences(_Block, frozen=True, tag="sentences"):
    """A list of sentences that a reader can filter by label and text, and sort by score and fact.

    Attributes:
      title: what it shows.
      rows: the sentences, in the order in which they are shown first.
      total: number of sentences that the list was chosen from.
      labels: what each label means, by label, in the order of the filter.
      lower_is_better: the scores that are better when they are lower.
      note: how the list was chosen, and where all sentences are.
    """

    title: str
    rows: tuple[SentenceRow, ...]
    total: int
    labels: dict[str, str] = {}
    lower_is_better: tuple[str, ...] = ()
    note: str = ""


class GraphNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node of a graph.

    Attributes:
      id: its id in the graph.
      label: its name.
      role: `file`, an input file; `execution`; `artifact`; `version`, a pushed version.
      detail: what else is known of it: its folder, its digest, its time.
      tone: how it is marked.
    """

    id: str
    label: str
    role: Literal["file", "execution", "artifact", "version"]
    detail: str = ""
    tone: Tone = "plain"


class Graph(_Block, frozen=True, tag="graph"):
    """A directed acyclic graph.

    Attributes:
      title: what it shows.
      nodes: its nodes; every edge leads from an earlier node to a later one.
      edges: pairs of node ids.
      alternative: what it shows in one or two sentences.
    """

    title: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[tuple[str, str], ...]
    alternative: str


class Code(_Block, frozen=True, tag="code"):
    """A text to copy: a command, a configuration.

    Attributes:
      title: what it is.
      text: the text, with its line ends.
    """

    title: str
    text: str


class Details(_Block, frozen=True, tag="details"):
    """Blocks that a reader opens.

    Attributes:
      summary: what is inside: `too_long: 1,204 rows`.
      blocks: the blocks.
      open: whether they are shown at first.
    """

    summary: str
    blocks: tuple[Block, ...]
    open: bool = False


Block = Text | Facts | Table | Chart | Sentences | Graph | Code | Details
"""What a section consists of."""


class Section(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a page with a title, which the page's table of contents names.

    Attributes:
      id: its anchor in the page: `training`.
      title: its title: `Training`.
      blocks: its content.
      summary: what the section shows in a sentence, below the title; empty: nothing.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]
    summary: str = ""
