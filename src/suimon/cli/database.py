"""Which database a command works with: by default the file in its state directory.

A URL with a password is a secret, and everybody on a machine can read the command lines of its processes: so such a
one comes from a file or the environment.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from suimon.store.dialect import parsed_url
from suimon.store.errors import StoreError

VARIABLE: Final = "SUIMON_DATABASE"
FILE_NAME: Final = "suimon.db"
_ABOUT: Final = "such as postgresql://suimon@db.example/suimon; without it, the SQLite file in the state directory."


def database_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--database` and `--database-file`, as `database_url` takes them."""
    for option in (
        click.option("--database-file", default="", help="File with that URL, for one that has a password."),
        click.option("--database", default="", metavar="URL", help=f"The database, {_ABOUT} Also {VARIABLE}."),
    ):
        command = option(command)
    return command


def database_url(state: Path, database: str, database_file: str) -> str:
    """The option's, else the file's, else the environment's, else the state directory's. Raises StoreError."""
    if database and parsed_url(database).password is not None:
        raise StoreError(
            f"--database has a password, which everybody on this machine can read: use --database-file or {VARIABLE}."
        )
    if database and database_file:
        raise StoreError("--database and --database-file name two databases: give one of them.")
    url = database or _from_file(database_file) or os.environ.get(VARIABLE, "")
    return url or f"sqlite:///{state.absolute() / FILE_NAME}"


def metering_url(database: str) -> str:
    """Where metering is kept: beside the store's file, or in the same server."""
    url = parsed_url(database)
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{Path(url.database or '').with_name('metering.db')}"
    return database


def _from_file(path: str) -> str:
    try:
        text = Path(path).read_text().strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"Can't read the file {path} of --database-file ({error}).") from None
    if path and not text:
        raise StoreError(f"The file {path} of --database-file is empty.")
    return text
