"""Measures cleaning: its price, its memory, and which planted noise it finds.

    python -m benchmarks.cleaning price CORPUS.tsv [--rounds 5]
    python -m benchmarks.cleaning noise CORPUS.tsv [--folder FOLDER] [--seed 0]
    python -m benchmarks.cleaning memory

`price` runs ExampleGen with each level in turn and prints the CPU seconds, and those of each rule alone.

`memory` prints the peak memory of ExampleGen with each level, for files of random words.

`noise` plants noise into a corpus of two columns and prints precision and recall by kind of noise. A tenth
of the rows each are in a wrong language, misaligned, copied, boilerplate, or truncated. The other rows count
as good. With `--folder`, it writes the noisy corpus as `noisy.tsv`, the clean corpus as `clean.tsv`, and a
configuration of each level: `clean.yaml`, `off.yaml`, `basic.yaml` and `strict.yaml`. All have the same test
split, without noise, and the same training, that of `pipeline/configs/tatoeba.yaml`. `bitext run` trains with
them, so that the scores can be compared.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import msgspec
import pyarrow as pa
import yaml
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import Parameters, executor
from bitext.components.example_gen.cleaning import KEYS, Cleaning, corpus_rules, fixes, pair_counts, row_rules
from bitext.components.example_gen.cleaning.texts import Texts
from bitext.components.example_gen.formats.base import BLOCK_ROWS

LEVELS = ("off", "basic", "strict")
MEMORY_ROWS = (100_000, 1_000_000)
SHARE = 0.1
"""Share of the rows of each kind of noise."""
TRAINING = Path(__file__).parents[1] / "pipeline" / "configs" / "tatoeba.yaml"
"""The configuration whose model and training all levels share."""
Pair = tuple[str, str]
WRONG_LANGUAGE = (
    "Le gouvernement a annoncé hier de nouvelles mesures pour les entreprises.",
    "Je ne sais pas encore si je pourrai venir à la réunion de demain.",
    "Il fait très beau aujourd'hui et nous allons nous promener au bord de la mer.",
    "Der Zug nach Hamburg fährt heute leider erst um halb neun ab.",
    "Ich habe gestern Abend ein sehr interessantes Buch über Astronomie gelesen.",
    "Können Sie mir bitte sagen, wo ich hier eine Apotheke finde?",
    "De trein naar Utrecht vertrekt over tien minuten van spoor vier.",
    "Ik heb gisteren met mijn zus een lange wandeling door het bos gemaakt.",
    "Wczoraj wieczorem poszliśmy do kina, ale film nam się nie podobał.",
    "Huomenna menemme junalla Tampereelle tapaamaan vanhoja ystäviä.",
    "Yarın sabah erkenden kalkıp pazara gitmemiz gerekiyor.",
    "Завтра утром мы поедем на поезде к моим родителям.",
    "我们明天早上坐火车去看望我的父母。",
    "سنذهب غدا صباحا بالقطار لزيارة والدي.",
    "พรุ่งนี้เช้าเราจะนั่งรถไฟไปเยี่ยมพ่อแม่",
)
BOILERPLATE = (
    "https://www.example.org/index.php?id={n}",
    "info{n}@example.org",
    '<div class="menu"><a href="/page{n}">Home</a></div>',
    "|||| {n} |||| -------- ||||",
    "Home > Products > Page {n} > <br/>",
    "................................ {n}",
    "{n} {n} {n} {n} {n} {n} {n} {n} {n} {n}",
    "Cookie Cookie Cookie Cookie Cookie Cookie Cookie Cookie Cookie Cookie Cookie Cookie",
    "&lt;td&gt;{n}&lt;/td&gt;&lt;td&gt;{n}&lt;/td&gt;",
    "2026-01-{n} 12:{n}:00 | 0 | 0 | 0 | 17 % | 20 % |",
)


def wrong_language(pair: Pair, _: Pair, random: random.Random) -> Pair:
    """The target is in another language."""
    return pair[0], f"{random.choice(WRONG_LANGUAGE)}"


def misaligned(pair: Pair, other: Pair, random: random.Random) -> Pair:
    """The target is that of another row."""
    return pair[0], other[1]


def copied(pair: Pair, _: Pair, random: random.Random) -> Pair:
    """The target is the source."""
    return pair[0], pair[0]


def boilerplate(pair: Pair, _: Pair, random: random.Random) -> Pair:
    """The target is an address, markup, a table or a ruler."""
    return pair[0], random.choice(BOILERPLATE).format(n=random.randrange(10, 60))


def truncated(pair: Pair, _: Pair, random: random.Random) -> Pair:
    """The target ends after 20 % to 60 % of its words."""
    words = pair[1].split()
    return pair[0], " ".join(words[: max(1, int(len(words) * random.uniform(0.2, 0.6)))])


KINDS: dict[str, Callable[[Pair, Pair, random.Random], Pair]] = {
    kind.__name__: kind for kind in (wrong_language, misaligned, copied, boilerplate, truncated)
}


def read_pairs(path: Path) -> list[Pair]:
    """The first two columns of a TSV file."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").split("\n"))
    return [(row[0], row[1]) for row in rows if len(row) > 1 and row[0] and row[1]]


def plant(pairs: Sequence[Pair], seed: int) -> tuple[list[Pair], list[str]]:
    """Replaces a share of the pairs by each kind of noise. Returns the pairs and the kind of each."""
    generator = random.Random(seed)
    order = list(range(len(pairs)))
    generator.shuffle(order)
    noisy, kinds = list(pairs), ["good"] * len(pairs)
    share = int(SHARE * len(pairs))
    for number, (name, make) in enumerate(KINDS.items()):
        for row in order[number * share : (number + 1) * share]:
            noisy[row], kinds[row] = make(pairs[row], generator.choice(pairs), generator), name
    return noisy, kinds


def run(folder: Path, file: Path, cleaning: Cleaning) -> tuple[artifacts.Rejects, float]:
    """Runs ExampleGen on a TSV file. Returns the rejected rows and the CPU seconds."""
    outputs = artifacts.Examples(folder / "examples"), artifacts.Rejects(folder / "rejects")
    for path in (folder / "temp", *(output.path for output in outputs)):
        path.mkdir(parents=True)
    context = Context(
        folder,
        folder / "temp",
        beam_pipeline=lambda: beam.Pipeline(runner=FnApiRunner()),
        say=lambda line: None,
    )
    parameters = Parameters(files=(str(file),), cleaning=cleaning, max_reject_share=1.0)
    start = time.process_time()
    executor.run(parameters, context, examples=outputs[0], rejects=outputs[1])
    return outputs[1], time.process_time() - start


def with_level(level: str, **rules: object) -> Cleaning:
    """A level, without a limit of rejected rows."""
    return msgspec.convert({"level": level, "max_reject_share": 1.0, **rules}, Cleaning)


def price(file: Path, rounds: int) -> None:
    """Prints the CPU seconds of ExampleGen with each level, alternating, and those of each rule alone."""
    seconds: dict[str, list[float]] = {level: [] for level in LEVELS}
    for number in range(1 + rounds):
        for level, values in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                _, measured = run(Path(folder), file, with_level(level))
            if number:  # the first round imports modules and builds tables
                values.append(measured)
    off = statistics.median(seconds["off"])
    print("| level | CPU s | times `off` |\n|---|---|---|")
    for level, values in seconds.items():
        median = statistics.median(values)
        print(f"| `{level}` | {median:.2f} [{min(values):.2f}, {max(values):.2f}] | {median / off:.2f} |")
    print("\n| rule of `strict` | CPU s |\n|---|---|")
    for name, rule_seconds in rule_prices(file).items():
        print(f"| `{name}` | {rule_seconds:.2f} |")


def rule_prices(file: Path) -> dict[str, float]:
    """The CPU seconds of each rule of `strict` on all rows; first, those of counting the characters."""
    strict = with_level("strict")
    seconds: dict[str, float] = collections.defaultdict(float)
    counts, pairs = pair_counts.PairCounts(strict), read_pairs(file)
    for first in range(0, len(pairs), BLOCK_ROWS):
        source, target = (pa.array(side) for side in zip(*pairs[first : first + BLOCK_ROWS], strict=True))
        pair = Texts(source), Texts(target)
        with timed(seconds, "(characters)"):
            for texts in pair:
                _ = texts.lengths, texts.count(0), texts.words, texts.script_words
        for key, correct in fixes.FIXES.items():
            with timed(seconds, key):
                correct(source), correct(target)
        for reason, check in row_rules.RULES.items():
            with timed(seconds, reason):
                list(check(pair, strict.limit(KEYS[reason])))
        for rule in corpus_rules.RULES:
            with timed(seconds, rule.reason):
                rule.codes("source", *pair, strict), rule.codes("target", *pair[::-1], strict)
        with timed(seconds, "near_duplicate, too_many_targets"):
            list(counts.check(source, target))
    return seconds


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the CPU seconds of a block."""
    start = time.process_time()
    yield
    seconds[name] += time.process_time() - start


def memory() -> None:
    """Prints the peak memory of ExampleGen with each level, each in a process of its own."""
    print("| rows | " + " | ".join(LEVELS) + " |\n|---|" + "---|" * len(LEVELS))
    with tempfile.TemporaryDirectory() as folder:
        for rows in MEMORY_ROWS:
            file = Path(folder) / f"{rows}.tsv"
            write_random(file, rows)
            peaks = []
            for level in LEVELS:
                with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    peaks.append(pool.submit(peak, Path(folder) / f"{rows}-{level}", file, level).result())
            print(f"| {rows:,} | " + " | ".join(f"{value:,} MB" for value in peaks) + " |", flush=True)


def peak(folder: Path, file: Path, level: str) -> int:
    """Runs ExampleGen. Returns the peak memory of this process in MB."""
    run(folder, file, with_level(level))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def write_random(path: Path, rows: int) -> None:
    """Writes distinct rows of random words as TSV."""
    generator = random.Random(rows)
    words = ["".join(generator.choices("abcdefghijklmnopqrstuv", k=2 + n % 8)) for n in range(30_000)]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            length = generator.randint(6, 12)
            sides = (" ".join(generator.choices(words, k=length)).capitalize() for _ in range(2))
            file.write(".\t".join(sides) + ".\n")


def noise(file: Path, folder: Path | None, seed: int) -> None:
    """Prints precision and recall of each level by kind of noise."""
    pairs = read_pairs(file)
    noisy, kinds = plant(pairs, seed)
    if folder is not None:
        write_corpora(folder, pairs, noisy, kinds)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "noisy.tsv"
        write(path, noisy)
        planted = Counter(kinds)
        print("| kind | rows | " + " | ".join(LEVELS[1:]) + " |\n|---|---|---|---|")
        found, by_reason = {}, {}
        for level in LEVELS[1:]:
            rejects, _ = run(Path(temporary) / level, path, with_level(level))
            rows = rejects.rows()
            found[level] = Counter(kinds[row.line - 1] for row in rows)
            by_reason[level] = Counter((kinds[row.line - 1], row.reason) for row in rows)
        for kind in KINDS:
            shares = " | ".join(f"{found[level][kind] / planted[kind]:.1%}" for level in LEVELS[1:])
            print(f"| recall: {kind} | {planted[kind]:,} | {shares} |")
        print(f"| good rows rejected | {planted['good']:,} | ", end="")
        print(" | ".join(f"{found[level]['good'] / planted['good']:.2%}" for level in LEVELS[1:]) + " |")
        precision = [1 - found[level]["good"] / max(1, found[level].total()) for level in LEVELS[1:]]
        print("| precision | | " + " | ".join(f"{share:.2%}" for share in precision) + " |")
        for level in LEVELS[1:]:
            for (kind, reason), rows_found in by_reason[level].most_common():
                print(f"{level}: {kind}: {reason} {rows_found:,}")


def write(path: Path, pairs: Sequence[Pair]) -> None:
    """Writes pairs as TSV."""
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")


def write_corpora(folder: Path, pairs: Sequence[Pair], noisy: Sequence[Pair], kinds: Sequence[str]) -> None:
    """Writes the noisy and the clean training files, clean eval and test files, and the configurations."""
    from bitext.components.example_gen.splitting import assign_splits
    from bitext.components.text.hashing import source_hashes

    folder.mkdir(parents=True, exist_ok=True)
    splits = assign_splits(source_hashes(pa.array([source for source, _ in pairs])), 0.02, 0.02)
    for number, name in ((1, "eval"), (2, "test")):
        write(
            folder / f"{name}.tsv",
            [pair for pair, split in zip(pairs, splits, strict=True) if split == number],
        )
    train = [row for row in range(len(pairs)) if splits[row] == 0]
    training = yaml.safe_load(TRAINING.read_text(encoding="utf-8"))
    write(folder / "noisy.tsv", [noisy[row] for row in train])
    write(folder / "clean.tsv", [noisy[row] for row in train if kinds[row] == "good"])
    for name in ("clean", *LEVELS):
        files = {split: {"files": [str((folder / f"{split}.tsv").resolve())]} for split in ("eval", "test")}
        data = folder / ("clean.tsv" if name == "clean" else "noisy.tsv")
        section = {
            "splits": {"train": {"files": [str(data.resolve())]}, **files},
            "cleaning": {"level": "off" if name == "clean" else name, "max_reject_share": 1.0},
        }
        config = {
            "name": f"cleaning-{name}",
            "example_gen": section,
            "example_validator": {"severities": [{"severity": "warn"}]},  # train with the noise all the same
        }
        config |= {key: training[key] for key in ("transform", "trainer")}
        text = yaml.safe_dump(config, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    """Runs one of the measurements."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cleaning", description=__doc__.splitlines()[0]
    )
    parser.add_argument("what", choices=("price", "noise", "memory"))
    parser.add_argument("corpus", type=Path, nargs="?", help="a TSV file: source TAB target")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of `price` (default 5)")
    parser.add_argument("--folder", type=Path, help="where `noise` writes the corpora and configurations")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default 0)")
    options = parser.parse_args()
    if options.what == "memory":
        memory()
    elif options.corpus is None:
        parser.error(f"{options.what} needs a corpus")
    elif options.what == "price":
        price(options.corpus, options.rounds)
    else:
        noise(options.corpus, options.folder, options.seed)


if __name__ == "__main__":
    main()
