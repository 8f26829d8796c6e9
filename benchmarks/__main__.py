"""Measures what the README claims, each bench in a process of its own, into RESULTS.md and RESULTS.json.

    python -m benchmarks [--multi30k FOLDER] [NAME ...]

Without names, all; the figures of benches that are not run stay as they were, with commit and machine. Needs
what `make run` leaves. `decoding`, `quality` and `peers` need a folder of Multi30k, `peers` also what
`make peers` installs; a bench that lacks what it needs is left out.
"""

from __future__ import annotations

import argparse

import msgspec

from benchmarks import peers, report
from benchmarks.commands import CONFIG, child

BENCHES = ("commands", "line", "tokenising", "training", "decoding", "quality", "peers")
OF_MULTI30K = ("decoding", "quality", "peers")


def main() -> None:
    """Measures and writes both files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; none: all")
    parser.add_argument("--multi30k", metavar="FOLDER", help="where train.lc.norm.tok.en.gz and so on are")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    commit, machine = report.commit(), report.machine()
    results = report.read()
    for name in options.names or BENCHES:
        if name in OF_MULTI30K and options.multi30k is None:
            report.progress(f"{name} is left out: it needs --multi30k FOLDER (make bench MULTI30K=FOLDER)")
            continue
        if name == "peers" and peers.missing():
            report.progress("peers is left out: no others are installed (make peers MULTI30K=FOLDER)")
            continue
        report.progress(name)
        arguments = [options.multi30k] if name in OF_MULTI30K else [CONFIG] if name == "training" else []
        printed = child(name, *arguments).splitlines()[-1]
        found = msgspec.json.decode(printed, type=list[report.Result])
        found = [msgspec.structs.replace(r, bench=name, commit=commit, machine=machine) for r in found]
        results = sorted(
            [*(r for r in results if r.bench != name), *found], key=lambda r: BENCHES.index(r.bench)
        )
        report.write(results)
    print(report.table(results))


if __name__ == "__main__":
    main()
