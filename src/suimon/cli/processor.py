"""What DuckDB is compiled for: where the processor lacks it, the process ends by an illegal instruction, or gets wrong
numbers, before anything could say why.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

_NEEDED: Final = {"avx2": "AVX2", "bmi2": "BMI2", "abm": "LZCNT"}
"""By the names that Linux has for them on x86-64 (proc(5), /proc/cpuinfo)."""


def refuse_old(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Raises ClickException where the processor says that it lacks something; one of another architecture says nothing
    of it.
    """
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    lacks = [name for flag, name in _NEEDED.items() if flags and flag not in flags[1].split()]
    if lacks:
        raise click.ClickException(
            f"DuckDB, which keeps flow records, needs a processor with {', '.join(_NEEDED.values())}; this one has no"
            f" {', '.join(lacks)}. In a virtual machine choose a model of `Haswell` or later, or the host's own."
        )
