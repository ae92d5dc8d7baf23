"""`suimon rulebook|breaker|subscribers`: what may happen by itself, and who is told; through the operations API."""

import json
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

import click

from suimon.cli.host import call, print_table

_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)
_why = click.option("--why", required=True, help="For the record.")


@click.group()
def rulebook() -> None:
    """Which finding or usage leads to which restriction, for whom, and how much at most."""


@rulebook.command("show")
@click.option("--version", "number", type=int, help="Another one than that in force, with what it changed.")
@_state
def show_rulebook(number: int | None, state: Path | None) -> None:
    """Print the rulebook."""
    if number is None:
        click.echo(call(state, "GET", "rulebook")["rulebook"]["text"], nl=False)
        return
    found = call(state, "GET", f"rulebook/versions/{number}")["rulebook"]
    click.echo(f"# version {found['version']} by {found['author']} at {found['made_at']}: {found['why']}")
    click.echo(found["diff"], nl=False)


@rulebook.command("put")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--after", type=int, help="The version that it was written after: refused if there is another by now.")
@_why
@_state
def put_rulebook(file: TextIO, after: int | None, why: str, state: Path | None) -> None:
    """Put FILE in force, or say what is wrong with it. A rule that is new, or that would do or find another thing than
    before, has to begin with mode dry_run.
    """
    body = {"text": file.read(), "why": why, "after": after}
    made = call(state, "PUT", "rulebook", body)["rulebook"]
    click.echo(f"Version {made['version']} is in force.")


@rulebook.command("versions")
@_state
def list_versions(state: Path | None) -> None:
    """Who wrote which version, when and why."""
    found = call(state, "GET", "rulebook/versions")["versions"]
    rows = [(str(one["version"]), one["made_at"], one["author"], one["why"]) for one in found]
    print_table(("VERSION", "MADE", "BY", "WHY"), rows)


@click.group()
def breaker() -> None:
    """While it is open nothing happens by itself: people are asked."""


@breaker.command("show")
@_state
def show_breaker(state: Path | None) -> None:
    """Whether it is open, since when and why."""
    found = call(state, "GET", "breaker")["breaker"]
    if "why" not in found:
        click.echo("closed, as ever")
        return
    click.echo(f"{'OPEN' if found['is_open'] else 'closed'} since {found['changed_at']} by {found['author']}")
    click.echo(found["why"])


@breaker.command("close")
@_why
@_state
def close_breaker(why: str, state: Path | None) -> None:
    """Let things happen by themselves again. What happened within the hour still counts."""
    call(state, "POST", "breaker/close", {"why": why})
    click.echo("The breaker is closed.")


@breaker.command("open")
@_why
@_state
def open_breaker(why: str, state: Path | None) -> None:
    """Let nothing happen by itself until somebody closes it. What is in force stays."""
    call(state, "POST", "breaker/open", {"why": why})
    click.echo("The breaker is open.")


@click.group()
def subscribers() -> None:
    """Who is told of incidents: by a signed request, or as an operator by syslog."""


@subscribers.command("list")
@_state
def list_subscribers(state: Path | None) -> None:
    """All of them."""
    found = call(state, "GET", "subscribers")["subscribers"]
    print_table(("ID", "PROJECT", "URL"), [(one["id"], one["project_id"] or "(all)", one["url"]) for one in found])


@subscribers.command("add")
@click.argument("url")
@_state
def add_subscriber(url: str, state: Path | None) -> None:
    """Tell URL: https://…, http://…, syslog+udp://HOST:PORT, syslog+tcp://HOST:PORT or syslog+unix:///dev/log.

    Prints the secret that signs what is sent, once.
    """
    click.echo(json.dumps(call(state, "POST", "subscribers", {"url": url})["subscriber"], indent=2))


@subscribers.command("remove")
@click.argument("id_", metavar="ID")
@_state
def remove_subscriber(id_: str, state: Path | None) -> None:
    """Tell it nothing more."""
    call(state, "DELETE", f"subscribers/{quote(id_, safe='')}")
