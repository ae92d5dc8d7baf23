"""The first start of a cloud: the account that all others are made with."""

import contextlib
import json
import os
import secrets
import shlex
from pathlib import Path
from typing import Final

import msgspec
import structlog

from suimon.api.identity.catalog import REGION
from suimon.api.identity.passwords import Passwords
from suimon.model.actor import SYSTEM
from suimon.model.identity import DOMAIN_NAME
from suimon.resources import identity
from suimon.store.store import Store

log = structlog.get_logger()

CLOUD_NAME: Final = "suimon"


class AccountFiles(msgspec.Struct, frozen=True):
    """Where the account is written, and how clients reach the cloud; `ca_file` if its certificate isn't public."""

    directory: Path
    url: str
    ca_file: str = ""

    @property
    def clouds_yaml(self) -> Path:
        return self.directory / "clouds.yaml"

    @property
    def openrc(self) -> Path:
        return self.directory / "openrc"


async def ensure_admin(store: Store, passwords: Passwords, files: AccountFiles) -> bool:
    """Makes the admin's account if the store has no users; whether it did.

    The files come first: dying in between leaves a store without users, and the next start writes the files anew. The
    other way round the only password would be lost. Raises OSError when the files can't be written.
    """
    if await store.read(identity.has_users, one_statement=True):
        return False
    password = secrets.token_hex(16)
    _write_private(files.clouds_yaml, _clouds_yaml(files, password))
    _write_private(files.openrc, _openrc(files, password))
    password_hash = await passwords.hash(password)
    await store.write(lambda tx: identity.create_first_admin(tx, password_hash), SYSTEM)
    log.info("admin_created", clouds_yaml=str(files.clouds_yaml), openrc=str(files.openrc))
    return True


def _write_private(path: Path, text: str) -> None:
    """Replaces the file in one step; nobody but its owner can read it at any moment."""
    draft = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _clouds_yaml(files: AccountFiles, password: str) -> str:
    auth = {
        "auth_url": f"{files.url}/identity/v3",
        "username": "admin",
        "password": password,
        "project_name": "admin",
        "user_domain_name": DOMAIN_NAME,
        "project_domain_name": DOMAIN_NAME,
    }
    lines = ["clouds:", f"  {CLOUD_NAME}:", "    auth:"]
    lines += [f"      {key}: {json.dumps(value)}" for key, value in auth.items()]
    lines += [f"    region_name: {REGION}", '    identity_api_version: "3"', "    interface: public"]
    if files.ca_file:
        lines.append(f"    cacert: {json.dumps(files.ca_file)}")
    return "\n".join([*lines, ""])


def _openrc(files: AccountFiles, password: str) -> str:
    values = {
        "OS_AUTH_TYPE": "password",
        "OS_AUTH_URL": f"{files.url}/identity/v3",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_NAME": DOMAIN_NAME,
        "OS_PROJECT_DOMAIN_NAME": DOMAIN_NAME,
        "OS_REGION_NAME": REGION,
    }
    if files.ca_file:
        values["OS_CACERT"] = files.ca_file
    return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in values.items())
