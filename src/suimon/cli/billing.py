"""What a month came to, printed: for who bills, the same bytes each time of one that is closed."""

import csv
import json
import sys
from typing import Any, Final, Literal

import click

from suimon.cli.amounts import scaled
from suimon.cli.host import print_table

_WAYS: Final = ("in", "in_outside", "out", "out_outside")
_OF_THE_MONTH: Final = ("month", "closed", "metered_since", "metered_until", "complete")


def show_month(told: dict[str, Any], form: Literal["table", "json", "csv"]) -> None:
    """An answer of `/operations/v1/usage/months/…`."""
    lines = told["lines"]
    if form == "json":
        click.echo(json.dumps(told))
    elif form == "csv":
        rows = csv.writer(sys.stdout)
        rows.writerow((*_OF_THE_MONTH, *(lines[0] if lines else ())))
        rows.writerows((*(told[name] for name in _OF_THE_MONTH), *line.values()) for line in lines)
    else:
        state = "closed" if told["closed"] else f"not closed, as of {told['metered_until']}"
        click.echo(f"{told['month']}: {state}; {100 * told['complete']:.2f} % complete")
        ids = [name for name in (lines[0] if lines else ()) if name.endswith("_id")]
        titles = [*(name.upper().removesuffix("_ID") for name in ids), *(f"{way.upper()} (95 %)" for way in _WAYS)]
        print_table(titles, [[*(line[name] for name in ids), *(_figure(line, way) for way in _WAYS)] for line in lines])


def _figure(line: dict[str, Any], way: str) -> str:
    return f"{scaled(line[f'{way}_bytes'])}B ({scaled(line[f'{way}_95_bps'])}bit/s)"
