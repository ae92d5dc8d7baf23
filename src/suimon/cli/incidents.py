"""`suimon findings|incidents|approve|deny|mark|report`: through the operations API."""

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from suimon.cli.host import call, print_table

_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)
_json = click.option("--json", "as_json", is_flag=True, help="As the API says it.")
_why = click.option("--why", required=True, help="For the record.")
_id = click.argument("id_", metavar="ID")
_limit = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)

_FIGURES: Final = {
    "dry_runs": "would have acted (dry run)",
    "dry_asks": "would have asked (dry run)",
    "dry_refusals": "would not have acted (dry run)",
    "refused": "refused by the gate",
    "acts": "acts",
    "ports": "ports restricted",
    "asked": "people asked",
    "warnings": "tenants warned",
    "false_positives": "false positives",
    "breaker_openings": "breaker opened",
    "not_biting": "without effect",
    "to_find_median_s": "found after, median",
    "to_find_longest_s": "found after, longest",
    "to_act_median_s": "acted after, median",
    "to_act_longest_s": "acted after, longest",
    "to_undo_median_s": "mistake undone after, median",
    "to_undo_longest_s": "mistake undone after, longest",
}
"""What the table says instead of a figure's name."""
_MINUTES_FROM_S: Final = 120
_HOURS_FROM_S: Final = 7200


@click.command()
@_limit
@_json
@_state
def findings(limit: int, as_json: bool, state: Path | None) -> None:
    """What detectors found, the newest first."""
    found = call(state, "GET", f"findings?limit={limit}")["findings"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (one["noted_at"], one["detector"], f"{one['subject']['kind']} {one['subject']['id']}", one["role"],
         f"{one['confidence']:.2f}", "over" if one["ended"] else "going on", one["words"])
        for one in found
    ]  # fmt: skip
    print_table(("NOTED", "DETECTOR", "SUBJECT", "ROLE", "SURE", "STATE", "WORDS"), rows)


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--waiting", is_flag=True, help="Only those that wait for an answer.")
@_limit
@_json
@_state
def incidents(id_: str | None, waiting: bool, limit: int, as_json: bool, state: Path | None) -> None:
    """What became of findings, the newest first; of one, its timeline."""
    if id_:
        found = call(state, "GET", f"incidents/{quote(id_, safe='')}")["incident"]
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_story(found)))
        return
    query = urlencode({"limit": limit, **({"state": "waiting"} if waiting else {})})
    listed = call(state, "GET", f"incidents?{query}")["incidents"]
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    rows = [
        (one["id"], one["opened_at"], one["rule"], f"{one['subject_kind']} {one['subject_id']}", one["mode"],
         one["state"], _proof(one), one.get("would") or "")
        for one in listed
    ]  # fmt: skip
    print_table(("ID", "OPENED", "RULE", "SUBJECT", "MODE", "STATE", "BITES", "WOULD"), rows)


@click.command()
@_id
@_why
@_state
def approve(id_: str, why: str, state: Path | None) -> None:
    """Say yes to what waits for an answer: it is done now."""
    _answer(state, id_, "approve", {"why": why})


@click.command()
@_id
@_why
@_state
def deny(id_: str, why: str, state: Path | None) -> None:
    """Say no to what waits for an answer."""
    _answer(state, id_, "deny", {"why": why})


@click.command()
@_id
@click.option("--mistake/--right", default=True, show_default=True, help="Whether it should not have been.")
@_why
@_state
def mark(id_: str, mistake: bool, why: str, state: Path | None) -> None:
    """Say whether an incident was a mistake. One that was is released, and doesn't count as an offence."""
    _answer(state, id_, "mark", {"why": why, "false_positive": mistake})


@click.command()
@_id
@_why
@_state
def undo(id_: str, why: str, state: Path | None) -> None:
    """Take back what was done in an incident: the restriction ends, the rule is there again. The policy that called for
    it asks before it does it again. `suimon release --all` takes back everything.
    """
    _answer(state, id_, "undo", {"why": why})


@click.command()
@click.option("--month", required=True, help="As in 2026-11.")
@click.option("--csv", "as_csv", is_flag=True, help="A line for each rule, and one for all.")
@_json
@_state
def report(month: str, as_csv: bool, as_json: bool, state: Path | None) -> None:
    """What happened by itself in a month, in figures: acts, mistakes, times to find, to act and to undo."""
    told = call(state, "GET", f"report?{urlencode({'month': month})}")["report"]
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    rows = {"all": _flat(told["figures"])} | {rule: _flat(figures) for rule, figures in told["rules"].items()}
    if as_csv:
        out = csv.writer(sys.stdout)
        out.writerow(("month", "rule", *rows["all"]))
        out.writerows((told["month"], rule, *figures.values()) for rule, figures in rows.items())
        return
    click.echo(f"{told['month']}{'' if told['closed'] else ', which is not over yet'}")
    titles = ("", *(rule.upper() for rule in rows))
    figures = [(_FIGURES.get(name, name), *(_shown(row[name]) for row in rows.values())) for name in rows["all"]]
    print_table(titles, figures)


def _answer(state: Path | None, id_: str, what: str, body: Mapping[str, object]) -> None:
    found = call(state, "POST", f"incidents/{quote(id_, safe='')}/{what}", body)["incident"]
    click.echo(f"{found['id']}  {found['subject_kind']} {found['subject_id']}  {found['state']}")


def _story(told: dict[str, Any]) -> list[str]:
    head = f"{told['id']}  {told['rule']}  {told['subject_kind']} {told['subject_id']}  {told['state']}"
    return [head, *(text for line in told["timeline"] for text in _lines(line))]


def _lines(line: dict[str, Any]) -> list[str]:
    text = f"  {line['at']}  {line['kind']:<13} {line['words']}"
    # Tenants are told no details.
    link = line.get("details", {}).get("runbook")
    return [text, f"{'':{len(line['at']) + 18}}what to do: {link}"] if link else [text]


def _proof(told: dict[str, Any]) -> str:
    return {True: "yes", False: "NO", None: "-"}[told["bites"]]


def _flat(figures: dict[str, Any]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{part}": each for part, each in value.items() if part != "count"}
        else:
            flat[name] = value
    return flat


def _shown(value: object) -> str:
    """A number; what has a fraction are seconds."""
    match value:
        case None:
            return "-"
        case float() if value < _MINUTES_FROM_S:
            return f"{value:.1f} s"
        case float() if value < _HOURS_FROM_S:
            return f"{value / 60:.0f} min"
        case float():
            return f"{value / 3600:.1f} h"
    return str(value)
