"""Runs the benchmarks, each in a process of its own, and writes RESULTS.md and RESULTS.json.

    python -m benchmarks [--multi30k FOLDER] [NAME ...]

Without names, all benchmarks run. Figures of other benchmarks stay in the files, with their commit and
machine. All benchmarks need a finished `make run`. `decoding`, `quality` and `peers` also need a folder of
Multi30k, and `peers` needs the toolkits that `make peers` installs. A benchmark whose needs are missing is
skipped.
"""

from __future__ import annotations

import argparse

import msgspec

from benchmarks import report, toolkits
from benchmarks.commands import CONFIG, child

BENCHES = (
    "commands",
    "line",
    "tokenizing",
    "training",
    "integrity",
    "serving",
    "decoding",
    "quality",
    "peers",
)
NEED_MULTI30K = ("decoding", "quality", "peers")


def main() -> None:
    """Runs the benchmarks and writes RESULTS.md and RESULTS.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)} (default: all)"
    )
    parser.add_argument(
        "--multi30k",
        metavar="FOLDER",
        help="folder of Multi30k, with train.lc.norm.tok.en.gz and the other files",
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; choose from {', '.join(BENCHES)}")
    commit, machine = report.commit(), report.machine()
    results = report.read()
    for name in options.names or BENCHES:
        if name in NEED_MULTI30K and options.multi30k is None:
            report.progress(f"{name} is skipped: it needs --multi30k FOLDER (make bench MULTI30K=FOLDER)")
            continue
        if name == "peers" and toolkits.missing():
            report.progress("peers is skipped: the toolkits are not installed (make peers MULTI30K=FOLDER)")
            continue
        report.progress(name)
        arguments = [options.multi30k] if name in NEED_MULTI30K else [CONFIG] if name == "training" else []
        printed = child(name, *arguments).splitlines()[-1]
        measured = msgspec.json.decode(printed, type=list[report.Result])
        measured = [msgspec.structs.replace(r, bench=name, commit=commit, machine=machine) for r in measured]
        results = sorted(
            [*(r for r in results if r.bench != name), *measured], key=lambda r: BENCHES.index(r.bench)
        )
        report.write(results)
    print(report.table(results))


if __name__ == "__main__":
    main()
