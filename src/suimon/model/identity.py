"""Who there is: projects, users, roles, what links them, and how they prove it. One domain, `Default`, holds them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

DOMAIN_ID: Final = "default"
DOMAIN_NAME: Final = "Default"
FIRST_ROLES: Final = ("admin", "manager", "member", "reader", "service")
"""The roles that OpenStack's services and clients expect by name."""
IMPLIED: Final = {"admin": "manager", "manager": "member", "member": "reader"}
"""Role → the role that whoever has it has as well, and so on."""
WHOLE_SYSTEM: Final = "system"
"""Where a role or a token is for the cloud itself, in place of a project's id; no project is called so."""


def with_implied(roles: Iterable[str]) -> frozenset[str]:
    """Names of roles, and of those that they imply."""
    found: set[str] = set()
    for role in roles:
        name: str | None = role
        while name is not None and name not in found:
            found.add(name)
            name = IMPLIED.get(name)
    return frozenset(found)


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """What owns networks. `id` is 32 hexadecimal digits, as Keystone's are."""

    id: str
    name: str
    description: str = ""
    enabled: bool = True


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who may ask for tokens. `password_hash` says its own algorithm and cost; it never leaves the store but to be
    checked.
    """

    id: str
    name: str
    password_hash: str
    description: str = ""
    email: str = ""
    enabled: bool = True
    default_project_id: str | None = None


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A word that rules ask for; `admin` is the one that means something to every rule."""

    id: str
    name: str
    description: str = ""


class RoleAssignment(msgspec.Struct, frozen=True, kw_only=True):
    """A user has a role in a project, or in the `WHOLE_SYSTEM`."""

    user_id: str
    project_id: str
    role_id: str


class ApplicationCredential(msgspec.Struct, frozen=True, kw_only=True):
    """With which a program logs in for a user, to one project, with some of his roles there (ids), until it expires.

    `secret_hash` is as a password's. An `unrestricted` one may make and delete others.
    """

    id: str
    user_id: str
    project_id: str
    name: str
    secret_hash: str
    roles: tuple[str, ...]
    description: str = ""
    expires_at: datetime | None = None
    unrestricted: bool = False


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a token stands for. `id` is the SHA-256 of the token, never the token; `project_id` is "" when it is
    unscoped, and may be the `WHOLE_SYSTEM`.

    The roles are in the row, so that checking a token is one look-up; the row is deleted when anything it says stops
    being true.
    """

    id: str
    user_id: str
    project_id: str
    roles: tuple[str, ...]
    audit_id: str
    issued_at: datetime
    expires_at: datetime
    credential_id: str = ""
    """The application credential that it came from."""
