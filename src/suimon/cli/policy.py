"""`suimon policy`: what policies find wrong, and what becomes of them; through the policy API."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote, urlencode

import click

from suimon.cli.host import CloudError, follow, print_table
from suimon.cli.host import call_policy as _call
from suimon.cli.policy_library import library, written_in

_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)
_json = click.option("--json", "as_json", is_flag=True, help="As the API says it.")
_limit = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
_name = click.argument("name")
_WATCH_EVERY_S: Final = 1.0


@click.group()
def policy() -> None:
    """What policies in Datalog find wrong, since when and why. Their clauses are written with `openstack congress`, or
    read from a file by `load`.
    """


policy.add_command(library)


@policy.command("list")
@_json
@_state
def list_policies(as_json: bool, state: Path | None) -> None:
    """All of them, in which mode, and what they did since then, or staged would have done."""
    found = _call(state, "GET", "policies")["results"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (one["name"], one["mode"], "yes" if one["proactive"] else "no", one["acts"], *_counts(one),
         one["project_id"] or "(cloud)", one["description"])
        for one in found
    ]  # fmt: skip
    titles = ("NAME", "MODE", "FORBIDS", "ACTS", "DENIED", "WOULD DENY", "CALLED", "SINCE", "PROJECT", "DESCRIPTION")
    print_table(titles, rows)


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
    _say_stale(found)


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
    _say_stale([found])


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
@click.option("--policy", "name", help="Of this one only.")
@click.option("--outcome", type=click.Choice(["denied", "would_deny"]), help="Only these.")
@_limit
@_json
@_state
def evaluations(name: str | None, outcome: str | None, limit: int, as_json: bool, state: Path | None) -> None:
    """Who was denied what by which clause, and what staged policies would have denied; the newest first."""
    query = {"limit": limit, **({"policy": name} if name else {}), **({"outcome": outcome} if outcome else {})}
    found = _call(state, "GET", f"evaluations?{urlencode(query)}")["evaluations"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        what = f"{one['policy']} {one['outcome'].replace('_', ' ')}"
        click.echo(f"{one['at']}  {what}, asked by {one['user_id']}, {one['request_id']}")
        click.echo(f"    {one['row']}    by {' '.join(one['clause'].split())}")


@policy.command()
@_limit
@_json
@_state
def calls(limit: int, as_json: bool, state: Path | None) -> None:
    """Which actions policies called for, the newest first; those of staged ones are only told here."""
    found = _call(state, "GET", f"calls?limit={limit}")["calls"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        arguments = ", ".join(json.dumps(value) for value in one["row"])
        until = f", until {one['vanished_at']}" if one["vanished_at"] else ""
        click.echo(f"{one['appeared_at']}  {one['policy']} {one['action']}({arguments}){until}, {one['request_id']}")


@policy.command()
@click.argument("table")
@click.option("--at", required=True, help="2026-11-21T14:02:00Z.")
@_limit
@_json
@_state
def rows(table: str, at: str, limit: int, as_json: bool, state: Path | None) -> None:
    """What TABLE (neutronv2:ports) held then."""
    path = "/".join(quote(part, safe="") for part in table.split(":", 1))
    found = _call(state, "GET", f"past/{path}?{urlencode({'at': at, 'limit': limit})}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    print_table(found["columns"], [[_shown(value) for value in row] for row in found["rows"]])
    if found["many"] > len(found["rows"]):
        click.echo(f"{len(found['rows'])} of {found['many']} rows: --limit shows more.", err=True)
    for missing in found["missing"]:
        click.echo(f"Not known: {missing}.", err=True)


@policy.command()
@click.argument("what", metavar="FILE|NAME")
@click.option("--since", required=True, help="2026-11-21T14:02:00Z.")
@click.option("--until", help="Now, unless it says something else.")
@_json
@_state
def replay(what: str, since: str, until: str | None, as_json: bool, state: Path | None) -> None:
    """What the policy NAME, or one with the clauses in FILE, would have found, denied and called for in that time."""
    body: dict[str, object] = {"since": since, **({"until": until} if until else {})}
    name = what
    if (file := Path(what)).is_file():
        name = "draft"
        with file.open(encoding="utf-8") as text:
            body["rules"] = [one["rule"] for one in written_in(text, name)["rules"]]
    told: dict[str, Any] = {}

    def heard(line: dict[str, Any]) -> None:
        told.update(line)
        if "progress" in line:
            click.echo(f"{line['progress']['done']} of {line['progress']['of']} changes …", err=True)

    try:
        follow(state, f"policy/v1/policies/{quote(name, safe='')}/replay", body, heard)
    except CloudError as error:
        raise click.ClickException(str(error)) from None
    if "replay" not in told:
        raise click.ClickException("The replay broke off: the controller's log says why.")
    click.echo(json.dumps(told["replay"], indent=2) if as_json else "\n".join(_replayed(told["replay"])))


@policy.command()
@_name
@click.argument("query")
@click.argument("sequence")
@click.option("--actions", help="The policy that describes the actions in SEQUENCE; NAME itself, if none is said.")
@click.option("--delta", is_flag=True, help="Only rows that would appear (+) or vanish (-).")
@click.option("--trace", is_flag=True, help="Also what each step would make of the answer.")
@_state
def simulate(
    name: str, query: str, sequence: str, *, actions: str | None, delta: bool, trace: bool, state: Path | None
) -> None:
    """What QUERY, as `error(x)`, would find in the policy NAME after SEQUENCE: rows that come and go, as
    `neutronv2:ports+("id", …) q-(1)`, and actions that a policy describes. Nothing changes.
    """
    body = {"query": query, "sequence": sequence, "action_policy": actions or name}
    asked = urlencode({"action": "simulate", "delta": str(delta).lower(), "trace": str(trace).lower()})
    found = _call(state, "POST", f"policies/{quote(name, safe='')}?{asked}", body)
    for row in found["result"]:
        click.echo(row)
    if not found["result"]:
        click.echo("Nothing would change." if delta else "Nothing would be found.", err=True)
    if trace and found["trace"]:
        click.echo(f"\n{found['trace']}")


@policy.command()
@_name
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option(
    "--description", help="What it is for, if not what FILE begins with. Whoever is forbidden something reads it."
)
@_state
def load(name: str, file: TextIO, description: str | None, state: Path | None) -> None:
    """Make the policy NAME of the clauses in FILE, all of them or none."""
    body = written_in(file, name, description)
    _call(state, "POST", "policies", body)
    click.echo(f"The policy {name} has {len(body['rules'])} clauses and is staged.")


@policy.command()
@_name
@click.argument("to", type=click.Choice(["draft", "staged", "enforced"]))
@click.option("--proactive/--reactive", default=None, help="Whether it forbids what would violate it.")
@click.option("--acts", type=click.Choice(["never", "ask", "act"]), help="What becomes of the actions it calls for.")
@_state
def mode(name: str, to: str, proactive: bool | None, acts: str | None, state: Path | None) -> None:
    """Say what may come of the policy NAME: draft, nothing; staged, records; enforced, refusals if it is proactive, and
    its actions are asked for or done.
    """
    body = {"mode": to, "proactive": proactive, "acts": acts}
    made = _call(state, "PUT", f"policies/{quote(name, safe='')}", body)
    forbids = " and forbids" if made["mode"] == "enforced" else " and would forbid"
    click.echo(f"{made['name']} is {made['mode']}{forbids if made['proactive'] else ''}, acts: {made['acts']}.")


@policy.command()
@_state
def stop(state: Path | None) -> None:
    """Let no policy forbid or do anything from now on: all that are enforced are staged."""
    found = _call(state, "POST", "stop")["results"]
    click.echo(f"Staged: {', '.join(one['name'] for one in found) or 'none was enforced'}")


def _counts(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    tally = one.get("tally") or {}
    return (*(str(tally.get(name, "-")) for name in ("denied", "would_deny", "called")), tally.get("since", "-"))


def _say_stale(found: Sequence[Mapping[str, Any]]) -> None:
    """Which of these rest on facts that are older than their source promised."""
    resting: dict[str, set[str]] = {}
    for one in found:
        for table in one.get("stale", ()):
            age = f"was read {table['age_s']} s ago" if table["age_s"] is not None else "was never read"
            most = f" (at most {table['max_age_s']} s were promised)" if table["max_age_s"] else ""
            why = f": {table['problem']}" if table.get("problem") else ""
            resting.setdefault(f"{table['table']} {age}{most}{why}", set()).add(one["policy"])
    for words, policies in resting.items():
        click.echo(f"STALE: {words}; what {', '.join(sorted(policies))} finds may be over, or more.")


def _replayed(told: Mapping[str, Any]) -> Iterator[str]:
    for one in told["found"]:
        denied = "  would be denied" if one["denied"] else ""
        sign = {"appeared": "+", "vanished": "-", "called": "!"}[one["what"]]
        yield f"{one['at']}  revision {one['revision']}  {sign} {one['row']}  {one['request_id'] or '-'}{denied}"
    if len(told["found"]) < told["appeared"] + told["vanished"] + told["called"]:
        yield "…"
    yield (
        f"{told['changes']} changes since {told['begins']}, revision {told['first_revision']}: "
        f"{told['wrong_before']} violations before, {told['appeared']} appeared (+), {told['vanished']} vanished (-), "
        f"{told['denied']} requests would be denied if it is proactive, {told['called']} actions called for (!)."
    )
    for gap in told["gaps"]:
        yield f"Until {gap['at']}, revision {gap['revision']}: {gap['gap']}."
    if told["as_now"]:
        yield f"As they are now, since their past isn't kept: {', '.join(told['as_now'])}."
    for missing in told["missing"]:
        yield f"Not known: {missing}."
    if told["ended_early"]:
        yield f"Ended early. {told['ended_early']}."


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _row(one: Mapping[str, Any]) -> str:
    return f"error({', '.join(json.dumps(value) for value in one['row'])})"
