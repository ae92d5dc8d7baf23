"""Times and how long something lasts, as people write them."""

import re
import time
from typing import Final

import click

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def moment(text: str) -> str:
    """An age as seconds since 1970; what is none the controller reads."""
    return str(round(time.time() - seconds(text))) if re.fullmatch(r"\d+[smhdw]", text) else text


def seconds(text: str) -> int:
    """Raises click.BadParameter."""
    found = re.fullmatch(r"(\d{1,9})([smhdw]?)", text)
    if found is None:
        raise click.BadParameter(f"{text} is no time: write 90s, 30m, 24h or 7d.")
    return int(found[1]) * _UNITS_S[found[2] or "s"]
