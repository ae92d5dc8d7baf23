"""`suimon restrict`, `suimon release`, `suimon restrictions`: through the operations API."""

import json
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from suimon.cli.host import call, id_of, print_table

_TARGETS: Final = ("port", "project", "network", "address", "outside-address")
_PAGE: Final = 1000
"""What the API lists at once."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_KBPS: Final = {"kbit": 1, "mbit": 1000, "gbit": 1_000_000}
_KPPS: Final = {"kpps": 1, "mpps": 1000}
_DIRECTIONS: Final = {"both": None, "egress": "egress", "ingress": "ingress"}
_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)


class Amount(click.ParamType[int]):
    """A whole number and its unit, as the smallest of the units; `10mbit` is 10,000 kbit/s."""

    def __init__(self, units: dict[str, int]) -> None:
        self._units = units
        self.name = "|".join(f"N{unit}" for unit in units)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"([0-9]{1,9})([a-z]+)", str(value))
        if not found or found[2] not in self._units:
            self.fail(f"{value!r} is not a number with one of the units {', '.join(self._units)}", param, ctx)
        return int(found[1]) * self._units[found[2]]


class Blocked(click.ParamType[dict[str, object]]):
    """`tcp/25` or `udp/5000-5003`."""

    name = "PROTOCOL/PORT[-PORT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, object]:
        found = re.fullmatch(r"(tcp|udp)/([0-9]{1,5})(?:-([0-9]{1,5}))?", str(value))
        if not found:
            self.fail(f"{value!r} is not a protocol and its ports, as in tcp/25 or udp/5000-5003", param, ctx)
        return {"protocol": found[1], "port_min": int(found[2]), "port_max": int(found[3] or found[2])}


@click.command()
@click.argument("kind", metavar="KIND", type=click.Choice(_TARGETS))
@click.argument("target")
@click.option("--block", type=Blocked(), help="Nothing to these L4 ports.")
@click.option("--rate", "rate_kbps", type=Amount(_KBPS), help="No more than that a second.")
@click.option("--packet-rate", "rate_kpps", type=Amount(_KPPS), help="No more packets than that a second.")
@click.option("--quarantine", is_flag=True, help="Nothing but DHCP, DNS, metadata and the operator.")
@click.option("--direction", type=click.Choice(list(_DIRECTIONS)), help="As the guest sees it. Blocks: egress.")
@click.option("--for", "duration_s", type=Amount(_SECONDS), help="How long; without it, until it is released.")
@click.option("--reason", required=True, help="Why. The tenant reads it.")
@click.option("--finding", "finding_id", default="", help="The id of the finding that it answers.")
@click.option("--evidence", multiple=True, help="What shows it, for operators; as often as there is any.")
@_state
def restrict(kind: str, target: str, state: Path | None, **options: Any) -> None:
    """Limit, block or quarantine TARGET: a port or a network (by id or name), a project (by id), an address of the
    cloud's or one outside, with which nobody in the cloud talks any more.

    A limit on a project or a network is one for each of its ports.
    """
    what = _what(kind, options)
    target = id_of(state, kind, target) if kind in ("port", "network") else target
    wanted = {"target_kind": kind.replace("-", "_"), "target": target, "reason": options["reason"]}
    wanted |= {"duration_s": options["duration_s"], **what}
    wanted |= {name: options[name] for name in ("finding_id", "evidence") if options[name]}
    click.echo(_line(call(state, "POST", "restrictions", {"restriction": wanted})["restriction"]))


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All that are in force.")
@click.option("--since", "within_s", type=Amount(_SECONDS), help="With --all: those made no longer ago than that.")
@click.option("--why", required=True, help="For the record.")
@_state
def release(ids: tuple[str, ...], all_: bool, within_s: int | None, why: str, state: Path | None) -> None:
    """End restrictions now: those with these ids, or all. With --all, what policies did is undone as well."""
    if all_ == bool(ids) or (within_s and not all_):
        raise click.UsageError("Name restrictions, or say --all, with --since if not all of them.")
    if all_:
        asked: dict[str, object] = {"why": why, "within_s": within_s}
        released = call(state, "POST", "restrictions/release", asked)["restrictions"]
        click.echo(f"{len(released)} released.")
        _undo_all(state, asked)
    else:
        paths = [f"restrictions/{quote(id_, safe='')}/release" for id_ in ids]
        released = [call(state, "POST", path, {"why": why})["restriction"] for path in paths]
    for each in released:
        click.echo(_line(each))


@click.command()
@click.option("--all", "all_", is_flag=True, help="Those that are over, too: the newest thousand.")
@click.option("--json", "as_json", is_flag=True, help="As the API says it.")
@_state
def restrictions(all_: bool, as_json: bool, state: Path | None) -> None:
    """What is in force, the newest first."""
    found = _listed(state, {} if all_ else {"state": "active"}, whole=not all_)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    titles = ("ID", "TARGET", "WHAT", "STATE", "UNTIL", "BY", "REASON")
    print_table(titles, [_row(each) for each in found])


def _listed(state: Path | None, where: dict[str, str], *, whole: bool) -> list[dict[str, Any]]:
    """All, or the newest `_PAGE`; that there are more is said beside the list."""
    found: list[dict[str, Any]] = []
    while True:
        after = {"marker": found[-1]["id"]} if found else {}
        page = call(state, "GET", f"restrictions?{urlencode({**where, 'limit': _PAGE, **after})}")["restrictions"]
        found += page
        if len(page) < _PAGE:
            return found
        if not whole:
            click.echo(f"The newest {_PAGE} are shown; there may be older ones.", err=True)
            return found


def _undo_all(state: Path | None, asked: dict[str, object]) -> None:
    told = call(state, "POST", "incidents/undo", asked)
    if told["undone"] or told["left"]:
        click.echo(f"{len(told['undone'])} undone.")
    for one in (*told["undone"], *told["left"]):
        why = f": not undone: {one['why']}" if "why" in one else ""
        click.echo(f"{one['id']}  {one['rule']}  {one['subject_kind']} {one['subject_id']}{why}")


def _what(kind: str, options: dict[str, Any]) -> dict[str, object]:
    """Raises UsageError unless one thing is asked for; with an outside address there is but one."""
    names = ("block", "rate_kbps", "rate_kpps", "quarantine")
    given = [name for name in names if options[name]]
    if kind == "outside-address":
        if given or options["direction"]:
            raise click.UsageError("With an outside address nobody talks at all: no more is to be said.")
        return {"kind": "port_block"}
    if len(given) != 1:
        raise click.UsageError("Say one of --block, --rate, --packet-rate and --quarantine.")
    if options["quarantine"] and options["direction"]:
        raise click.UsageError("A quarantine is for both directions.")
    direction = {"direction": _DIRECTIONS[options["direction"] or ("egress" if options["block"] else "both")]}
    match given[0]:
        case "block":
            return {"kind": "port_block", **options["block"], **direction}
        case "rate_kbps":
            return {"kind": "rate_limit", "rate_kbps": options["rate_kbps"], **direction}
        case "rate_kpps":
            return {"kind": "packet_rate_limit", "rate_kpps": options["rate_kpps"], **direction}
    return {"kind": "quarantine"}


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    target, until = f"{told['target_kind']} {told['target']}", _until(told)
    return told["id"], target, _value(told), told["state"], until, told.get("author") or "-", told["reason"]


def _line(told: dict[str, Any]) -> str:
    return f"{told['id']}  {told['target_kind']} {told['target']}  {_value(told)}  {told['state']}  {_until(told)}"


def _until(told: dict[str, Any]) -> str:
    return told["released_at"] or told["expires_at"] or "its release"


def _value(told: dict[str, Any]) -> str:
    way = f" {told['direction']}" if told["direction"] else ""
    if told["rate_kbps"]:
        return f"{told['rate_kbps']} kbit/s{way}"
    if told["rate_kpps"]:
        return f"{told['rate_kpps']} kpps{way}"
    if told["protocol"]:
        last = "" if told["port_max"] == told["port_min"] else f"-{told['port_max']}"
        return f"block {told['protocol']}/{told['port_min']}{last}{way}"
    return "quarantine" if told["kind"] == "quarantine" else "block"
