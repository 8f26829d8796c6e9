"""A page with every kind of block and the size of a real report: `python -m tests.browser.demo FILE`."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

from bitext.components.artifacts.page import (
    Alignment,
    Axis,
    Candidate,
    Cell,
    Chart,
    Code,
    Column,
    Details,
    Fact,
    Facts,
    Graph,
    GraphNode,
    Section,
    SentenceRow,
    Sentences,
    Series,
    Table,
    Text,
)
from bitext.components.pages import Page, write

RUN = "20260131T120000Z-1a2b"
WORDS = {
    "I": "yo", "you": "tú", "the teacher": "el maestro", "my brother": "mi hermano", "nobody": "nadie",
    "a neighbor": "un vecino", "wants": "quiere", "has forgotten": "ha olvidado", "reads": "lee",
    "would like to see": "quisiera ver", "a red house": "una casa roja", "the newspaper": "el periódico",
    "two apples": "dos manzanas", "the train to the coast": "el tren a la costa", "today": "hoy",
    "every morning": "cada mañana", "before dinner": "antes de la cena", "with great care": "con cuidado",
}  # fmt: skip
_SUBJECTS, _VERBS = list(WORDS)[:6], list(WORDS)[6:10]
_OBJECTS, _ENDS = list(WORDS)[10:14], list(WORDS)[14:]
OTHER_SCRIPTS = (
    ("Where is the station?", "أين هي المحطة؟", "أين المحطة؟"),
    (
        "Save the file before closing.",
        "ファイルを閉じる前に保存してください。",
        "閉じる前にファイルを保存します。",
    ),
    ("Good morning, everyone.", "בוקר טוב לכולם.", "בוקר טוב."),
)


def sentence_row(number: int, chance: random.Random) -> SentenceRow:
    """Returns a sentence with two translations and their alignments."""
    parts = [chance.choice(kind) for kind in (_SUBJECTS, _VERBS, _OBJECTS, _ENDS)]
    source, reference = " ".join(parts).capitalize() + ".", " ".join(map(WORDS.get, parts)).capitalize() + "."
    hypothesis, differing = reference, ()
    if number < len(OTHER_SCRIPTS):
        source, reference, hypothesis = OTHER_SCRIPTS[number]
        differing = ((0, len(hypothesis.split()[0])),)
    elif chance.random() < 0.6:
        words = reference.split()
        place = chance.randrange(len(words))
        start = sum(len(word) + 1 for word in words[:place])
        words[place] = chance.choice(list(WORDS.values())).split()[0]
        hypothesis, differing = " ".join(words), ((start, start + len(words[place])),)
    bleu, served = chance.betavariate(2, 2) * 100, chance.betavariate(2, 2) * 100
    labels = {"random": chance.random() < 0.3, "worst": bleu < 15, "best": bleu > 90}
    labels |= {"most improved": bleu - served > 50, "most worsened": served - bleu > 50}
    labels |= {"repetition": chance.random() < 0.02, "copied": chance.random() < 0.02}
    facts: dict[str, Cell] = {
        "corpus": chance.choice(["tatoeba", "subtitles", "manuals"]),
        "source length": len(source.split()),
        "rarest word": chance.choice([1, 3, 12, 55, 420, 3100]),
    }
    return SentenceRow(
        id=f"spa.tsv:{174 + 41 * number}",
        source=source,
        references=(reference,) if number % 4 else (reference, reference.replace(".", ", ¿no?")),
        candidates=(
            Candidate(
                name="this model",
                text=hypothesis,
                scores={"BLEU": bleu, "chrF": min(100, bleu + 18), "TER": 100 - bleu},
                differing=differing,
                alignment=alignment(source, hypothesis, chance),
            ),
            Candidate(
                name="served model",
                text=reference,
                scores={"BLEU": served, "chrF": min(100, served + 18), "TER": 100 - served},
                alignment=alignment(source, reference, chance),
            ),
        ),
        labels=tuple(label for label, holds in labels.items() if holds),
        facts=facts,
    )


def alignment(source: str, target: str, chance: random.Random) -> Alignment:
    """Returns a mostly diagonal alignment of subwords."""
    sides = []
    for text in (source, target):
        pieces = [piece for word in text.split() for piece in (f"▁{word[:5]}", word[5:]) if piece]
        sides.append([*pieces, "</s>"])
    rows = []
    for row in range(len(sides[1])):
        center = row * (len(sides[0]) - 1) / max(1, len(sides[1]) - 1) + chance.gauss(0, 0.4)
        raw = [math.exp(-1.6 * (column - center) ** 2) for column in range(len(sides[0]))]
        rows.append(tuple(round(100 * value / sum(raw)) for value in raw))
    return Alignment(tuple(sides[0]), tuple(sides[1]), tuple(rows))


def sentences(count: int, seed: int = 1) -> Sentences:
    """Returns a list of sentences."""
    chance = random.Random(seed)
    return Sentences(
        title="Sentences of the test split",
        rows=tuple(sentence_row(number, chance) for number in range(count)),
        total=2867,
        labels={
            "worst": "the lowest sentence BLEU",
            "best": "the highest sentence BLEU",
            "most improved": "the largest gain in sentence BLEU over the served model",
            "most worsened": "the largest loss in sentence BLEU against the served model",
            "repetition": "a word or phrase three times in a row",
            "copied": "the translation equals the source",
            "random": "drawn at random",
        },
        note="The 100 sentences of each group; all are in translations.jsonl.",
    )


def _curve(
    name: str, role: str, steps: int, every: int, end: float, seed: int, marked: tuple[int, ...] = ()
) -> Series:
    chance = random.Random(seed)
    x = tuple(float(step) for step in range(every, steps + 1, every))
    y = tuple(end + 5 * math.exp(-step / 500) + chance.gauss(0, 0.06) for step in x)
    return Series(name, x, y, role=role, marked=marked)  # type: ignore[arg-type]


def training() -> Section:
    """Returns the section of the curves."""
    loss = Chart(
        form="line",
        title="Loss",
        x=Axis("updates"),
        y=Axis("loss per token (nats)", zero=False),
        series=(
            _curve("training", "main", 8000, 20, 1.62, 1),
            _curve("validation", "other", 8000, 400, 1.2, 2, (17,)),
            _curve("validation, earlier run", "earlier", 7200, 400, 1.31, 3),
        ),
        alternative="The loss falls from 6.5 to 1.62 ; on validation it is lowest (1.19) after 7,200.",
    )
    xs = tuple(float(x) for x in range(400, 8001, 400))
    bleu = tuple(39 - 24 * math.exp(-x / 1500) for x in xs)
    score = Chart(
        form="line",
        title="BLEU on the validation sentences",
        x=Axis("updates"),
        y=Axis("BLEU"),
        series=(
            Series(
                "this run", xs, bleu, tuple(y - 1.2 for y in bleu), tuple(y + 1.2 for y in bleu), marked=(19,)
            ),
            Series("earlier run", xs, tuple(y - 2.5 for y in bleu), role="earlier"),
        ),
        alternative="BLEU rises from 16.6 to 38.9, its best, after 8,000; the earlier run ends at 36.4.",
    )
    speed = Chart(
        form="line",
        title="Speed",
        x=Axis("time (UTC)", "time"),
        y=Axis("target tokens a second"),
        series=(
            Series(
                "speed",
                tuple(1.77e9 + 60 * i for i in range(90)),
                tuple(6400 + 300 * math.sin(i / 5) for i in range(90)),
            ),
        ),
        alternative="Between 6,100 and 6,700 tokens a second.",
    )
    rate = Chart(
        form="line",
        title="Learning rate",
        x=Axis("updates", "log"),
        y=Axis("learning rate", "log"),
        series=(
            Series(
                "learning rate", xs, tuple(0.002 * min(1, x / 2000) / max(1, x / 2000) ** 0.5 for x in xs)
            ),
        ),
        alternative="The rate rises to 0.002 at 2,000 updates and falls to 0.001.",
    )
    facts = Facts(
        facts=(
            Fact("best validation", "38.9 BLEU", "after 8,000 updates"),
            Fact("updates", "8,000", "of at most 20,000"),
            Fact("time", "41 min 12 s"),
            Fact("speed", "6,420", "target tokens a second"),
        )
    )
    return Section(
        id="training",
        title="Training",
        summary="8,000 updates in 41 minutes; BLEU had not risen for 6 validations.",
        blocks=(
            facts,
            loss,
            score,
            speed,
            rate,
            Text(text="The gradient norm exceeded 10 at update 220.", tone="warning"),
        ),
    )


def data() -> Section:
    """Returns the section of the corpus."""
    lengths = tuple(range(1, 41))
    chance = random.Random(4)

    def counts(center: float) -> tuple[float, ...]:
        return tuple(
            round(9000 * math.exp(-(((math.log(n) - math.log(center)) / 0.45) ** 2))) for n in lengths
        )

    histogram = Chart(
        form="histogram",
        title="Sentence lengths",
        x=Axis("words"),
        y=Axis("sentences"),
        series=(Series("source", lengths, counts(6)), Series("target", lengths, counts(6.5), role="other")),
        alternative="Most source sentences have 4 to 8 words, target sentences one more.",
    )
    reasons = {"too_long": 1204, "identical": 310, "wrong_language": 96, "empty": 31, "bad_ratio": 12}
    rejected = Chart(
        form="bar",
        title="Rejected rows by reason",
        x=Axis("reason", "ordinal"),
        y=Axis("rows", "log"),
        series=(Series("rows", tuple(reasons), tuple(float(n) for n in reasons.values())),),
        alternative="1,204 of 1,653 rejected rows are too long.",
    )
    splits = Table(
        title="Splits",
        columns=(
            Column("split"),
            Column("pairs", "number"),
            Column("share", "share", 1),
            Column("source words", "number"),
            Column("mean length", "number", 2),
            Column("coverage", "share", 2),
        ),
        rows=(
            ("train", 135147, 0.959, 878201, 6.498, 1.0),
            ("eval", 2854, 0.0203, 18544, 6.51, 0.9981),
            ("test", 2867, 0.0204, 18502, 6.45, None),
        ),
        note="Coverage is the share of words whose characters are all in the vocabulary.",
    )
    examples = tuple(
        Details(
            summary=f"{reason}: {count:,} rows",
            blocks=(
                Table(
                    title=f"Ten rows rejected as {reason}",
                    columns=(
                        Column("place", "place"),
                        Column("source", "corpus"),
                        Column("target", "corpus"),
                    ),
                    rows=tuple(
                        (f"data/spa.tsv:{chance.randrange(140000)}", f"{a} {b}", WORDS[a])
                        for a, b in zip(_SUBJECTS, _VERBS * 2, strict=False)
                    ),
                ),
            ),
        )
        for reason, count in reasons.items()
    )
    tokens = Table(
        title="Longest tokens",
        columns=(
            Column("token", "corpus"),
            Column("characters", "number"),
            Column("count", "number"),
            Column("share", "share", 3),
        ),
        rows=tuple(
            (f"▁{'abcdefghij'[: 3 + n % 7]}{n}", 3 + n % 7, 4000 - 31 * n, (4000 - 31 * n) / 9e4)
            for n in range(120)
        ),
    )
    return Section(
        id="data",
        title="Data",
        summary="140,868 rows of one file; 139,215 pairs are used.",
        blocks=(splits, histogram, rejected, *examples, tokens),
    )


def evaluation(count: int) -> Section:
    """Returns the section of the scores and sentences."""
    buckets = ("1–4", "5–8", "9–12", "13–16", "17–24", "25+")
    means = (43.2, 39.2, 38.3, 31.9, 11.5, 13.4)
    by_length = Chart(
        form="bar",
        title="BLEU by source length",
        x=Axis("source length (words)", "ordinal"),
        y=Axis("BLEU"),
        series=(
            Series("this model", buckets, means, tuple(m - 2 for m in means), tuple(m + 2 for m in means)),
            Series(
                "served model",
                buckets,
                tuple(m - 3 for m in means),
                tuple(m - 5 for m in means),
                tuple(m - 1 for m in means),
                role="other",
            ),
        ),
        alternative="BLEU falls from 43.2 for 1 to 4 words to 11.5 for 17 to 24 words.",
    )
    corpora = ("tatoeba: everyday sentences", "subtitles: films and series", "manuals: software")
    by_corpus = Chart(
        form="bar",
        title="chrF by corpus",
        x=Axis("corpus", "ordinal"),
        y=Axis("chrF"),
        series=(
            Series("this model", corpora, (58.8, 49.1, 61.0)),
            Series("served model", corpora, (57.2, 50.3, 55.5), role="other"),
        ),
        alternative="The model gains 5.5 on manuals and loses 1.2 on subtitles.",
    )
    block = sentences(count)
    scores = [[one.scores["BLEU"] for one in row.candidates] for row in block.rows]
    scatter = Chart(
        form="scatter",
        title="Sentence BLEU of this model against the served model",
        x=Axis("served model"),
        y=Axis("this model"),
        series=(
            Series(
                "sentences",
                tuple(b for _, b in scores),
                tuple(a for a, _ in scores),
                labels=tuple(r.source for r in block.rows),
            ),
        ),
        alternative="52 % of the sentences lie above the diagonal: this model translates them better.",
        diagonal=True,
    )
    gains = Table(
        title="Words that this model translates better",
        columns=(
            Column("word", "corpus"),
            Column("frequency in train", "number"),
            Column("this model", "share", 1),
            Column("served model", "share", 1),
        ),
        rows=tuple(
            (word, 3000 - 150 * n, 0.9 - n / 40, 0.85 - n / 30) for n, word in enumerate(WORDS.values())
        ),
    )
    return Section(
        id="evaluation",
        title="Evaluation",
        summary="Scores of the test split, 2,867 sentences.",
        blocks=(by_length, by_corpus, scatter, gains, block),
    )


def lineage() -> Section:
    """Returns the section of the graph."""
    steps = {
        "ExampleGen": (("data/spa.tsv",), ("examples", "rejects")),
        "StatisticsGen": (("examples",), ("statistics",)),
        "SchemaGen": (("statistics",), ("schema",)),
        "ExampleValidator": (("statistics", "schema"), ("anomalies",)),
        "Transform": (("examples", "schema", "anomalies"), ("transform_graph", "transformed_examples")),
        "Trainer": (("transform_graph", "transformed_examples"), ("model", "model_run")),
        "Evaluator": (("model", "examples", "served model 1"), ("evaluation", "blessing")),
        "InfraValidator": (("model", "examples"), ("infra_blessing",)),
        "Pusher": (("model", "blessing", "infra_blessing"), ("pushed_model",)),
    }
    nodes = [GraphNode(name, name, "file", "sha256 1f20…9a") for name in ("data/spa.tsv",)]
    nodes.append(GraphNode("served model 1", "served model 1", "version", "BLEU 37.1"))
    edges = []
    for number, (step, (inputs, outputs)) in enumerate(steps.items(), 1):
        nodes.append(
            GraphNode(
                step,
                step,
                "execution",
                f"{number * 7} s",
                "warning" if step == "ExampleValidator" else "plain",
            )
        )
        nodes += [
            GraphNode(name, name, "artifact", f"runs/tatoeba/{step}/{name}/{number}") for name in outputs
        ]
        edges += [*((name, step) for name in inputs), *((step, name) for name in outputs)]
    nodes.append(GraphNode("2", "version 2", "version", "serving/tatoeba/2"))
    edges.append(("pushed_model", "2"))
    graph = Graph(
        title="From the input files to the pushed version",
        nodes=tuple(nodes),
        edges=tuple(edges),
        alternative="Nine steps lead from data/spa.tsv to version 2 in serving/tatoeba.",
    )
    config = (
        "name: tatoeba\nexample_gen:\n  format: tsv\n  files: [data/spa.tsv]\nevaluator:\n  min_bleu: 25\n"
    )
    runs = Table(
        title="Runs",
        columns=(
            Column("run", "run"),
            Column("verdict"),
            Column("BLEU", "number", 2),
            Column("time", "seconds"),
        ),
        rows=((RUN, "pushed", 39.51, 2471.0), ("20260130T120000Z-77f0", "refused", 31.2, 2201.0)),
    )
    return Section(
        id="lineage",
        title="Lineage",
        blocks=(
            graph,
            runs,
            Code(title="The configuration", text=config),
            Code(title="Repeat this run", text="bitext run tatoeba.yaml"),
        ),
    )


def full_page(count: int = 1000) -> Page:
    """Returns a page with the blocks and the size of a real report."""
    facts = Facts(
        facts=(
            Fact("BLEU", "39.51", "[38.25, 40.86] · served 37.10", "good"),
            Fact("chrF", "58.81", "[57.85, 59.76] · served 57.20", "good"),
            Fact("TER", "46.90", "[45.7, 48.1] · served 46.10", "warning"),
            Fact("perplexity", "4.62"),
            Fact("pushed", "version 2", "serving/tatoeba/2"),
            Fact("time", "43 min 2 s", "4 of 9 steps cached"),
        )
    )
    steps = (
        "ExampleGen",
        "StatisticsGen",
        "SchemaGen",
        "ExampleValidator",
        "Transform",
        "Trainer",
        "Evaluator",
        "InfraValidator",
        "Pusher",
    )
    nodes = Table(
        title="Steps",
        columns=(
            Column("step"),
            Column("state"),
            Column("time", "seconds", 1),
            Column("memory (MiB)", "number"),
        ),
        rows=tuple(
            (step, "cached" if n < 4 else "run", None if n < 4 else 7.3 * n**3, 100 + 90 * n)
            for n, step in enumerate(steps)
        ),
    )
    return Page(
        title="tatoeba",
        subtitle=f"run {RUN}",
        verdict=Text(
            text="Pushed as version 2: BLEU 39.51 reaches min_bleu 25; the served model has 37.10.",
            tone="good",
        ),
        lead=(facts,),
        sections=(
            Section(id="steps", title="Steps", blocks=(nodes,), summary="Nine steps; four were cached."),
            data(),
            training(),
            evaluation(count),
            lineage(),
        ),
        links=(("All runs", "history.html"),),
        footer="bitext 0.2.0 · TensorFlow 2.16.2 · 31 January 2026, 12:43 UTC",
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write(full_page(), target, assets=target.parent)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")
