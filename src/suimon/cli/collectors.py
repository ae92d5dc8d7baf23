"""`suimon collectors`: those that joined, through the operations API."""

import json
from pathlib import Path
from urllib.parse import quote

import click

from suimon.cli.host import call, print_table

_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The controller's state directory, for the clouds.yaml in it."
)


@click.group()
def collectors() -> None:
    """Collectors of flow records that have joined, with `suimon collector join`."""


@collectors.command("list")
@click.option("--json", "as_json", is_flag=True, help="As the API says it.")
@_state
def list_(as_json: bool, state: Path | None) -> None:
    """All of them. One that is not heard of for two minutes is an alarm."""
    found = call(state, "GET", "collectors")["collectors"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [(one["name"], one["url"], one["joined_at"], one["heard_at"] or "never") for one in found]
    print_table(("NAME", "URL", "JOINED", "HEARD"), rows)


@collectors.command()
@click.argument("name")
@_state
def remove(name: str, state: Path | None) -> None:
    """Forget a collector: it is told of no port and asked nothing any more. What it keeps stays where it is."""
    call(state, "DELETE", f"collectors/{quote(name, safe='')}")
    click.echo(f"{name} is no collector of this cloud any more.")
