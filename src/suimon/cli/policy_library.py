"""`suimon policy library`: policies that wait to be made, those that come with Suimon and your own."""

import json
import textwrap
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote

import click

from suimon.cli.host import call_policy, print_table
from suimon.policy.document import is_fact, take_apart
from suimon.policy.errors import PolicyError
from suimon.policy.syntax import read

_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)
_json = click.option("--json", "as_json", is_flag=True, help="As the API says it.")
_name = click.argument("name")
_WIDTH: Final = 118
_SHORT: Final = 80


def written_in(file: TextIO, name: str, description: str | None = None) -> dict[str, Any]:
    """What the API takes for a policy that stands in a file. Raises ClickException with the file's line and column."""
    try:
        found = take_apart(file.read())
    except PolicyError as error:
        raise click.ClickException(f"{file.name}: {error.message}") from None
    rules = [{"rule": one.text, "comment": one.comment} for one in found.clauses]
    return {"name": name, "description": found.description if description is None else description, "rules": rules}


@click.group()
def library() -> None:
    """Policies that are ready to be loaded. What you have to say first (which projects, which ports) are facts in them:
    give them with `load --fact`, or write `show` into a file, change it, and `suimon policy load` it.
    """


@library.command("list")
@_json
@_state
def list_library(as_json: bool, state: Path | None) -> None:
    """All of them, and which facts they take."""
    found = call_policy(state, "GET", "librarypolicies")["results"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (one["name"], "Suimon" if one["ready"] else "you", ", ".join(_facts(one)) or "-",
         textwrap.shorten(one["description"], _SHORT, placeholder=" …"))
        for one in found
    ]  # fmt: skip
    print_table(("NAME", "OF", "FACTS", "DESCRIPTION"), rows)


@library.command()
@_name
@_json
@_state
def show(name: str, as_json: bool, state: Path | None) -> None:
    """Print NAME as `suimon policy load` reads it."""
    found = call_policy(state, "GET", f"librarypolicies/{quote(name, safe='')}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    _say(found["description"])
    comment = None
    for rule in found["rules"]:
        if not (comment == rule["comment"] and comment):
            click.echo()
            comment = rule["comment"]
            _say(comment or "")
        click.echo(rule["rule"])


@library.command()
@_name
@click.option("--fact", "facts", multiple=True, help="In the place of NAME's facts of the same table; may be repeated.")
@click.option("--mode", type=click.Choice(["draft", "staged", "enforced"]), default="staged", show_default=True)
@_state
def load(name: str, facts: tuple[str, ...], mode: str, state: Path | None) -> None:
    """Make a policy of NAME."""
    made = call_policy(state, "POST", f"policies?library_policy={quote(name, safe='')}", {"facts": facts})
    if mode != made["mode"]:
        call_policy(state, "PUT", f"policies/{made['id']}", {"mode": mode})
    click.echo(f"The policy {made['name']} has {len(made['rules'])} clauses and is {mode}.")


@library.command()
@_name
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--replace", is_flag=True, help="In the place of one of yours of this name.")
@_state
def put(name: str, file: TextIO, replace: bool, state: Path | None) -> None:
    """Put the clauses in FILE into the library, as NAME, for every project to load."""
    method, path = ("PUT", f"librarypolicies/{quote(name, safe='')}") if replace else ("POST", "librarypolicies")
    made = call_policy(state, method, path, written_in(file, name))
    click.echo(f"{made['name']} is in the library, with {len(made['rules'])} clauses.")


@library.command()
@_name
@_state
def remove(name: str, state: Path | None) -> None:
    """Take one of yours out of the library. Policies that were made of it stay."""
    gone = call_policy(state, "DELETE", f"librarypolicies/{quote(name, safe='')}")
    click.echo(f"{gone['name']} is no longer in the library.")


def _facts(one: dict[str, Any]) -> list[str]:
    """The tables that its facts are of and that something is said of."""
    told = {}
    for rule in one["rules"]:
        (statement,) = read(rule["rule"])
        if is_fact(statement) and rule["comment"]:
            told[statement.heads[0].name] = True
    return list(told)


def _say(comment: str) -> None:
    for line in textwrap.wrap(comment, _WIDTH):
        click.echo(f"# {line}")
