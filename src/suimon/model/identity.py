"""Who there is: projects, users, roles, what links them, and tokens. One domain, `Default`, holds all of them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

DOMAIN_ID: Final = "default"
DOMAIN_NAME: Final = "Default"
FIRST_ROLES: Final = ("admin", "manager", "member", "reader", "service")
"""The roles that OpenStack's services and clients expect by name."""


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
    """A user has a role in a project."""

    user_id: str
    project_id: str
    role_id: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a token stands for. `id` is the SHA-256 of the token, never the token; `project_id` is "" when it is
    unscoped.

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
