"""Measures what constraints cost: the CPU time of a search with each, of that of the same search without.

    python -m benchmarks.constraints MODEL FILE    # the first 1,000 lines of FILE

The search without constraints is that of `translate_nbest`. The required and banned words are taken from its
translations, so that they change something.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.report import Result, print_results, progress, result
from bitext.components.shared.parallel import share_cores

ROUNDS = 5
BEAM_SIZE = 5
LINES = 1000
BANNED_WORDS = 100


def constraint_costs(model: Path, lines: Sequence[bytes]) -> list[Result]:
    """Measures the cost of each constraint for these lines."""
    from bitext.components.translation.constrained import ConstrainedTranslator, Sentence
    from bitext.components.translation.constraints import ConstraintOptions, LineConstraints
    from bitext.components.translation.search import Search
    from bitext.components.translation.translator import LineTranslator

    plain = LineTranslator(model, Search(beam_size=BEAM_SIZE, nbest=2), trusted=True)
    words = [found[0].text.split() or ["a"] for found in plain.translate(lines)]
    middle = [of_line[len(of_line) // 2].strip(".,;:!?") or "a" for of_line in words]
    several = tuple(sorted(set(middle))[:BANNED_WORDS])
    none = [LineConstraints()] * len(lines)
    cases: dict[str, tuple[ConstraintOptions, list[LineConstraints]]] = {
        "none, with the log probability of every token": (ConstraintOptions(), none),
        "a prefix of two words": (
            ConstraintOptions(),
            [LineConstraints(prefix=" ".join(of_line[:2])) for of_line in words],
        ),
        "a required word": (ConstraintOptions(), [LineConstraints(require=(word,)) for word in middle]),
        "three required words": (
            ConstraintOptions(),
            [LineConstraints(require=(word, *middle[:2])) for word in middle],
        ),
        "a banned word": (ConstraintOptions(), [LineConstraints(ban=(word,)) for word in middle]),
        f"{len(several)} banned words": (ConstraintOptions(), [LineConstraints(ban=several)] * len(lines)),
        "no repeated 3-gram": (ConstraintOptions(no_repeat_ngram=3), none),
        "a repetition penalty": (ConstraintOptions(repetition_penalty=1.2), none),
        "a length factor of 2": (ConstraintOptions(max_length_factor=2), none),
    }

    def search(case: tuple[ConstraintOptions, list[LineConstraints]]) -> Callable[[], object]:
        translator = ConstrainedTranslator(plain, case[0])
        pairs = enumerate(zip(lines, case[1], strict=True), 1)
        sentences = [Sentence(line, number, own) for number, (line, own) in pairs]
        return lambda: translator.translate(sentences)

    searches: dict[str, Callable[[], object]] = {name: search(case) for name, case in cases.items()}
    searches["without"] = lambda: plain.translate(lines)
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    for number in range(ROUNDS + 1):
        for name, run in searches.items():
            seconds[name].append(_cpu_seconds(run))
        progress(f"round {number} of {ROUNDS}; the first one is not counted")
    base = statistics.median(seconds["without"][1:])
    return [
        result(f"constraints: {name}, CPU time, of the search without", [s / base for s in each[1:]], "times")
        for name, each in seconds.items()
        if name != "without"
    ]


def _cpu_seconds(function: Callable[[], object]) -> float:
    """Calls a function and returns the CPU seconds of all threads."""
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    share_cores()
    source = Path(sys.argv[2]).read_bytes().splitlines()[:LINES]
    print_results(constraint_costs(Path(sys.argv[1]), source))
