"""`suimon backup`, `suimon restore`, `suimon export`: a cloud as a file, and a cloud to read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from sqlalchemy.exc import DBAPIError

from suimon.cli.database import database_options, database_url, metering_url
from suimon.model.actor import Actor
from suimon.model.attributes import Shown
from suimon.model.errors import CallerError
from suimon.model.identity import Project, Role, RoleAssignment, User
from suimon.model.query import parse_query
from suimon.model.things import Host
from suimon.resources.registry import RESOURCES
from suimon.resources.resource import Child, Resource
from suimon.store.backup import back_up, looking
from suimon.store.backup import restore as put_back
from suimon.store.dialect import parsed_url
from suimon.store.errors import StoreError
from suimon.store.tables import KEPT
from suimon.store.tx import Tx
from suimon.telemetry.meter import copy
from suimon.telemetry.meter.database import Database as MeterDatabase

_PATH: Final = click.Path(path_type=Path)
_READER: Final = Actor("suimon", "suimon", frozenset({"admin"}))
_BESIDES: Final[dict[str, type[msgspec.Struct]]] = {
    "projects": Project,
    "users": User,
    "roles": Role,
    "role_assignments": RoleAssignment,
    "hosts": Host,
}
"""What the network API doesn't show, with the fields that are nobody's business taken out."""
_SECRETS: Final = frozenset({"password_hash", "credential_hash"})
_state = click.option("--state", type=_PATH, required=True, help="The controller's state directory.")


@click.command()
@click.argument("file", type=_PATH)
@_state
@database_options
def backup(file: Path, state: Path, database: str, database_file: str) -> None:
    """Write everything into FILE, while controllers run or not. It holds hashes of passwords: keep it private."""
    if file.exists():
        raise click.ClickException(f"{file} exists already: a backup doesn't replace another.")
    url = database_url(state, database, database_file)
    rows = 0

    def metering(packed: gzip.GzipFile) -> None:
        nonlocal rows
        kept = _metering_file(url)
        if kept is None or kept.exists():
            rows = copy.write(MeterDatabase(metering_url(url)), packed)

    try:
        head = back_up(url, file, metering)
    except (StoreError, OSError, DBAPIError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{file}: store {head.store} at epoch {head.epoch}, revision {head.revision}, {rows} rows of metering")


@click.command()
@click.argument("file", type=_PATH)
@_state
@database_options
@click.option("--replace", is_flag=True, help="Give up what the database holds now.")
def restore(file: Path, state: Path, database: str, database_file: str, replace: bool) -> None:
    """Put the backup FILE into a database that no controller runs with, and begin a new epoch.

    Hosts that would lose something hold the restored world back until `suimon host accept`; traffic goes on meanwhile.
    """
    url = database_url(state, database, database_file)
    rows = 0

    def metering(lines: gzip.GzipFile) -> None:
        nonlocal rows
        rows = copy.put_back(MeterDatabase(metering_url(url)), iter(lines))

    try:
        if not replace and (kept := _metering_file(url)) and kept.exists():
            raise StoreError(f"There is metering already, in {kept}: --replace gives it up.")
        head = put_back(url, file, replace, metering)
    except (copy.CopyError, DBAPIError) as error:
        raise click.ClickException(f"the store is back, but not what was metered: {error}") from None
    except (StoreError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"store {head.store} of {head.taken_at:%Y-%m-%d %H:%M:%S} UTC is back, as epoch {head.epoch}")
    click.echo(f"{rows} rows of metering are back" if rows else "the backup has no metering")


@click.command()
@_state
@database_options
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def export(state: Path, database: str, database_file: str, form: str) -> None:
    """Print every resource as the API shows it to an admin, by collection. No secrets are in it."""
    try:
        with looking(database_url(state, database, database_file)) as tx:
            documents = exported(tx)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    if form == "json":
        click.echo(json.dumps(documents, indent=2))
    else:
        click.echo(msgspec.yaml.encode(documents), nl=False)


def _metering_file(url: str) -> Path | None:
    """Which is not made by looking for it; none on a server."""
    where = parsed_url(metering_url(url))
    return Path(where.database or "") if where.get_backend_name() == "sqlite" else None


def exported(tx: Tx) -> dict[str, Any]:
    """Collection → its documents."""
    found: dict[str, Any] = {}
    for path, resource in RESOURCES.items():
        if resource.list and resource.create:
            shown = resource.list(tx, _READER, parse_query(resource.spec, []))
            found[path] = [_document(tx, resource, thing) for thing in shown]
    for name, type_ in _BESIDES.items():
        found[name] = [_without_secrets(thing) for thing in tx.select(type_, order=KEPT[type_].key)]
    return found


def _document(tx: Tx, resource: Resource, shown: Shown) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(resource.spec.render(shown, _READER))
    for name, child in resource.children.items():
        if name not in document and (below := _below(tx, child, shown.id)):
            document[name] = below
    return document


def _below(tx: Tx, child: Child, parent: str) -> list[Any]:
    if not (child.list and child.create):
        return []
    try:
        shown = child.list(tx, _READER, parent, parse_query(child.spec, []))
    except CallerError:  # Not every parent may have such: a port that no server uses has no bindings.
        return []
    return [msgspec.to_builtins(child.spec.render(one, _READER)) for one in shown]


def _without_secrets(thing: msgspec.Struct) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(thing)
    return {name: value for name, value in told.items() if name not in _SECRETS}
