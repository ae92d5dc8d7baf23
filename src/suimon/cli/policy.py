"""`suimon policy`: what policies find wrong, and what becomes of them; through the policy API."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote, urlencode

import click

from suimon.cli.host import CloudError, print_table, request

_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)
_json = click.option("--json", "as_json", is_flag=True, help="As the API says it.")
_limit = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
_name = click.argument("name")
_WATCH_EVERY_S: Final = 1.0
_END_OF_CLAUSE: Final = re.compile(r"\n[ \t]*\n")


@click.group()
def policy() -> None:
    """What policies in Datalog find wrong, since when and why. Their clauses are written with `openstack congress`, or
    read from a file by `load`.
    """


@policy.command("list")
@_json
@_state
def list_policies(as_json: bool, state: Path | None) -> None:
    """All of them, and in which mode."""
    found = _call(state, "GET", "policies")["results"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (one["name"], one["mode"], "yes" if one["proactive"] else "no", one["project_id"] or "(cloud)",
         one["description"])
        for one in found
    ]  # fmt: skip
    print_table(("NAME", "MODE", "FORBIDS", "PROJECT", "DESCRIPTION"), rows)


@policy.command()
@click.option("--ended", is_flag=True, help="Also what is over.")
@click.option("--at", help="What was violated then: 2026-11-21T14:02:00Z.")
@_limit
@_json
@_state
def violations(ended: bool, at: str | None, limit: int, as_json: bool, state: Path | None) -> None:
    """What is wrong now, the newest first."""
    query = {"limit": limit, **({"ended": "true"} if ended else {}), **({"at": at} if at else {})}
    found = _call(state, "GET", f"violations?{urlencode(query)}")["violations"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (
            one["id"],
            one["policy"],
            _row(one),
            one["appeared_at"],
            str(one["appeared_revision"]),
            one["vanished_at"] or "-",
        )
        for one in found
    ]
    print_table(("ID", "POLICY", "ROW", "SINCE", "REVISION", "UNTIL"), rows)


@policy.command()
@click.argument("id_", metavar="ID")
@_state
def explain(id_: str, state: Path | None) -> None:
    """The clauses and facts that a violation followed from."""
    found = _call(state, "GET", f"violations/{quote(id_, safe='')}")["violation"]
    by = f" by the request {found['request_id']}" if found["request_id"] else ""
    click.echo(
        f"{found['policy']}: {_row(found)} since {found['appeared_at']}, revision {found['appeared_revision']}{by}"
    )
    click.echo(found["why"] or "One of too many at once: `openstack congress policy row list --trace` tells why.")


@policy.command()
@_state
def watch(state: Path | None) -> None:
    """Print each violation when it appears and vanishes, until interrupted."""
    known: dict[str, dict[str, Any]] = {}
    while True:
        found = {one["id"]: one for one in _call(state, "GET", "violations?limit=1000")["violations"]}
        for sign, ids in (("-", known.keys() - found.keys()), ("+", found.keys() - known.keys())):
            for one in sorted(((known | found)[id_] for id_ in ids), key=lambda one: str(one["appeared_at"])):
                click.echo(f"{sign} {one['policy']} {_row(one)}  {one['appeared_at']}  {one['id']}")
        known = found
        time.sleep(_WATCH_EVERY_S)


@policy.command()
@_limit
@_json
@_state
def history(limit: int, as_json: bool, state: Path | None) -> None:
    """Who changed which policy, the newest first."""
    found = _call(state, "GET", f"history?limit={limit}")["history"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        click.echo(f"{one['at']}  {one['policy']}: {one['words']}, by {one['author']}")
        for line in one["diff"].splitlines():
            click.echo(f"    {line}")


@policy.command()
@_name
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--description", default="", help="What it is for: whoever is forbidden something reads it.")
@_state
def load(name: str, file: TextIO, description: str, state: Path | None) -> None:
    """Make the policy NAME of the clauses in FILE, all of them or none. Between two clauses is an empty line."""
    texts = [text.strip() for text in _END_OF_CLAUSE.split(file.read()) if _says_something(text)]
    body = {"name": name, "description": description, "rules": [{"rule": text} for text in texts]}
    _call(state, "POST", "policies", body)
    click.echo(f"The policy {name} has {len(texts)} clauses and is staged.")


@policy.command()
@_name
@click.argument("to", type=click.Choice(["draft", "staged", "enforced"]))
@click.option("--proactive/--reactive", default=None, help="Whether it forbids what would violate it.")
@_state
def mode(name: str, to: str, proactive: bool | None, state: Path | None) -> None:
    """Say what may come of the policy NAME: draft, nothing; staged, records; enforced, refusals if it is proactive."""
    body = {"mode": to, **({"proactive": proactive} if proactive is not None else {})}
    made = _call(state, "PUT", f"policies/{quote(name, safe='')}", body)
    click.echo(f"{made['name']} is {made['mode']}{' and forbids' if made['proactive'] else ''}.")


@policy.command()
@_state
def stop(state: Path | None) -> None:
    """Let no policy forbid anything from now on: all that are enforced are staged."""
    found = _call(state, "POST", "stop")["results"]
    click.echo(f"Staged: {', '.join(one['name'] for one in found) or 'none was enforced'}")


def _call(state: Path | None, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
    try:
        return request(state, method, f"policy/v1/{path}", body)
    except CloudError as error:
        raise click.ClickException(str(error)) from None


def _row(one: Mapping[str, Any]) -> str:
    return f"error({', '.join(json.dumps(value) for value in one['row'])})"


def _says_something(text: str) -> bool:
    return any(line.strip() and not line.strip().startswith(("#", "//")) for line in text.splitlines())
