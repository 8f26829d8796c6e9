"""What Linux says of the processor."""

from __future__ import annotations

import re


def instruction_sets(cpuinfo: str) -> set[str]:
    """Returns the instruction sets of an x86 processor, such as `avx2`; none if the text does not name them.

    Args:
      cpuinfo: the content of /proc/cpuinfo.
    """
    flags = re.search(r"^flags[ \t]*:(.*)$", cpuinfo, re.MULTILINE)
    return set(flags[1].split()) if flags else set()
