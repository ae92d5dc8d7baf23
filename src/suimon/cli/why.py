"""`suimon why A B` and `suimon why-not PORT`: asked of the controller, for the whole cloud."""

from pathlib import Path
from typing import Any, Final

import click

from suimon.cli.host import call, id_of

_REACHED: Final = {True: "yes", False: "no", None: "not known, it goes to where it is not followed"}


@click.command("why-not")
@click.argument("port")
@click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)
def why_not(port: str, state: Path | None) -> None:
    """Say why PORT, an id or a name, is not ready: every reason, in the order in which to look into them; and what its
    host dropped of its packets.
    """
    asked = f"ports/{id_of(state, 'port', port)}"
    told = call(state, "GET", f"{asked}/readiness")["readiness"]
    if told["ready"]:
        click.echo(f"port {told['port_id']} is ready: its flows are in, as they are wanted now")
    else:
        click.echo(f"port {told['port_id']} is {told['status']}")
    for number, each in enumerate(told["reasons"], 1):
        click.echo(f"{number}. {each['words']} ({each['reason']})")
    for line in _drop_lines(call(state, "GET", f"{asked}/drops")["drops"]):
        click.echo(line)


def ask_cloud(state: Path | None, question: dict[str, object]) -> tuple[list[str], bool]:
    """The lines that answer it: the way there, the way back, and what the hosts' switches were asked besides; and
    whether all agree.
    """
    told = call(state, "POST", "reachability", question)["reachability"]
    lines = [f"{question['from']} reaches {question['to']}: {_REACHED[told['reached']]}"]
    for name, title in (("there", "There:"), ("back", "The answer:")):
        if told[name]:
            lines += [title, *(f"  {_hop_line(hop)}" for hop in told[name])]
    lines += [f"(host {host['name']} is not heard of)" for host in told.get("hosts", ()) if not host["up"]]
    if "trace" in told:
        lines.append(f"Trace: {told['trace']['words']}")
    if "probe" in told:
        lines.append(f"Probe: it {told['probe']['words']}{_where_lost(told)}")
    findings = [f"FINDING: {finding}" for finding in told.get("findings", ())]
    return lines + findings, not findings


def _where_lost(told: dict[str, Any]) -> str:
    """Where the switches' traces say that a packet ends which was not seen."""
    ends = [leg for leg in told.get("trace", {}).get("legs", ()) if leg["stage"] and not leg["sent"]]
    if told["probe"]["arrived"] is not False or not ends:
        return ""
    return f"; a trace ends at {ends[0]['stage']} on {ends[0]['host']}"


def _drop_lines(told: dict[str, Any]) -> list[str]:
    if told["unknown"]:
        return [f"What was dropped of its packets is not known: {told['unknown']}"]
    lines = [f"dropped {each['packets']}: {each['words']} ({each['reason']})" for each in told["counted"]]
    filled = told.get("connections")
    if filled and filled["now"] >= filled["most"]:
        many = f"it has all {filled['most']} connections that a port may have"
        lines.append(f"{many}: new ones are not remembered, or dropped")
    return lines


def _hop_line(hop: dict[str, Any]) -> str:
    where = " ".join(f"{label} {hop[name]}" for label, name in (("on", "host"), ("at", "stage")) if hop.get(name))
    line = f"{hop['what']} {where}: {hop['words']}" if where else f"{hop['what']}: {hop['words']}"
    resource = hop.get("resource")
    if not resource:
        return line
    said = [f"{resource['kind']} {resource['id']}"]
    said += [f"project {resource['project_id']}"] if resource["project_id"] else []
    said += [f"revision {resource['revision']}"] if resource["revision"] is not None else []
    said += [resource["request_id"]] if resource["request_id"] else []
    return f"{line} [{', '.join(said)}]"
