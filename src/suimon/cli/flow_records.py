"""`suimon flows search` and `suimon flows top`: flow records, through the operations API."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from suimon.cli.host import call, print_table

_filter = click.argument("words", nargs=-1, metavar="FILTER")
_state = click.option("--state", type=click.Path(path_type=Path), help="The controller's state directory.")
_json = click.option("--json", "as_json", is_flag=True, help="As the API says it.")
_limit = click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)


@click.command()
@_filter
@_limit
@_json
@_state
def search(words: tuple[str, ...], limit: int, as_json: bool, state: Path | None) -> None:
    """Show records that match FILTER, the newest first, as in:
    port 4d1f… and destination_port 25,465 and since 2026-11-21T12:00:00Z

    Packets and bytes of one record are as it was exported: `1:N` says that it stands for N times as many.
    """
    told = _asked(state, {"filter": " ".join(words), "limit": limit})
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    rows = [
        (
            _moment(row["begun_ms"]),
            f"{row['source']}:{row['source_port']}",
            f"{row['destination']}:{row['destination_port']}",
            row["protocol"],
            row["direction"] or "-",
            str(row["packets"]),
            str(row["bytes"]),
            f"1:{row['sampling']}" if row["sampling"] else "unknown",
            row["port_id"] or "-",
        )
        for row in told["flows"]
    ]
    print_table(("BEGUN", "FROM", "TO", "PROTOCOL", "WAY", "PACKETS", "BYTES", "SAMPLING", "PORT"), rows)
    _print_total(told)


@click.command()
@_filter
@click.option("--by", default="source", show_default=True, help="What to sum by, as in port, project, destination.")
@click.option("--order", type=click.Choice(["bytes", "packets", "records"]), default="bytes", show_default=True)
@_limit
@_json
@_state
def top(words: tuple[str, ...], as_json: bool, state: Path | None, **said: Any) -> None:
    """Show the largest sums of what matches FILTER. Sampled records count as many times as they stand for."""
    told = _asked(state, {"filter": " ".join(words), **said})
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    numbers = ("records", "packets", "bytes", "sampled", "unscaled")
    rows = [
        (
            " ".join(str(value) or "-" for name, value in row.items() if name not in (*numbers, "ip_version")),
            *(("~" if row["sampled"] and name != "records" else "") + str(row[name]) for name in numbers[:3]),
        )
        for row in told["flows"]
    ]
    print_table((said["by"].upper(), "RECORDS", "PACKETS", "BYTES"), rows)
    _print_total(told)


def _asked(state: Path | None, question: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = call(state, "GET", f"flows?{urlencode(question)}")
    return told


def _moment(since_1970_ms: int) -> str:
    return datetime.fromtimestamp(since_1970_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print_total(told: dict[str, Any]) -> None:
    total = told["total"]
    about = "about " if total["sampled"] else ""
    click.echo(
        f"{total['records']} records: {about}{total['packets']} packets, {about}{total['bytes']} bytes", err=True
    )
    if total["unscaled"]:
        click.echo(f"{total['unscaled']} of them came without a sampling rate and count once", err=True)
    if told["missing"]:
        click.echo(f"collectors that did not answer: {told['missing']}", err=True)
