"""The bodies of identity calls: what comes in, checked by type, and what goes out."""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from suimon.model.errors import BadRequest
from suimon.model.identity import DOMAIN_ID, DOMAIN_NAME, Project, Role, User

S = TypeVar("S")

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Password = Annotated[str, Meta(min_length=1, max_length=1024)]
Description = Annotated[str, Meta(max_length=4096)]
Identifier = Annotated[str, Meta(max_length=64)]

DOMAIN = {"id": DOMAIN_ID, "name": DOMAIN_NAME}


class Domain(msgspec.Struct):
    """A domain by id or by name; there is only one that exists."""

    id: str | None = None
    name: str | None = None

    @property
    def exists(self) -> bool:
        return self.id == DOMAIN_ID or (self.id is None and (self.name or "").lower() == DOMAIN_NAME.lower())


class NewProject(msgspec.Struct):
    name: Name
    description: Description | None = ""
    enabled: bool = True
    domain_id: str | None = None


class ChangedProject(msgspec.Struct):
    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    domain_id: str | UnsetType | None = UNSET


class NewUser(msgspec.Struct):
    name: Name
    password: Password | None = None
    description: Description | None = ""
    email: Name | None = ""
    enabled: bool = True
    default_project_id: Identifier | None = None
    domain_id: str | None = None


class ChangedUser(msgspec.Struct):
    name: Name | UnsetType = UNSET
    password: Password | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    email: Name | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    default_project_id: Identifier | UnsetType | None = UNSET
    domain_id: str | UnsetType | None = UNSET


class NewRole(msgspec.Struct):
    name: Name
    description: Description | None = ""
    domain_id: str | None = None


class ChangedRole(msgspec.Struct):
    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET


class NewPassword(msgspec.Struct):
    """A user's own change of password."""

    password: Password
    original_password: Password


def shaped(body: object, key: str, shape: type[S]) -> S:
    """The object under `key` as a `shape`. Raises BadRequest, which names the field."""
    if not isinstance(body, dict) or not isinstance(body.get(key), dict):
        raise BadRequest(f"Invalid input: '{key}' is a required property, and an object.")
    try:
        return msgspec.convert(body[key], shape)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid input for {key}: {error}.") from None


def given(shape: msgspec.Struct) -> dict[str, object]:
    """The fields that a body gave, null texts as empty, without the domain. Raises BadRequest for another domain."""
    values = {name: value for name, value in msgspec.structs.asdict(shape).items() if value is not UNSET}
    if values.pop("domain_id", None) not in (None, DOMAIN_ID):
        raise BadRequest(f"There is one domain, '{DOMAIN_ID}'.")
    return {name: "" if value is None and name in ("description", "email") else value for name, value in values.items()}


def wire_time(time: datetime) -> str:
    """As Keystone writes times: UTC, microseconds, Z."""
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


def shown(thing: Project | User | Role, origin: str) -> dict[str, object]:
    """One project, user or role as clients see it. `origin` is the address of the API, for the link to itself."""
    match thing:
        case Project():
            words, plural = (
                {"enabled": thing.enabled, "domain_id": DOMAIN_ID, "is_domain": False, "tags": []},
                "projects",
            )
            words |= {"parent_id": DOMAIN_ID}
        case User():
            words, plural = {"enabled": thing.enabled, "domain_id": DOMAIN_ID, "email": thing.email}, "users"
            words |= {"default_project_id": thing.default_project_id, "password_expires_at": None}
        case Role():
            words, plural = {"domain_id": None}, "roles"
    words |= {"id": thing.id, "name": thing.name, "description": thing.description, "options": {}}
    return words | {"links": {"self": f"{origin}/identity/v3/{plural}/{thing.id}"}}
