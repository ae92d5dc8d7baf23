"""Projects, users and roles: the same five calls for each, and a user's own password and projects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.identity.logins import Logins
from suimon.api.identity.passwords import NO_PASSWORD, Passwords
from suimon.api.identity.proofs import UserProof
from suimon.api.identity.shapes import (
    ChangedProject,
    ChangedRole,
    ChangedUser,
    NewPassword,
    NewProject,
    NewRole,
    NewUser,
    given,
    shaped,
    shown,
)
from suimon.api.wire import Call, answer, no_content
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Unauthorized
from suimon.model.identity import DOMAIN_ID, Project, Role, User
from suimon.resources import identity
from suimon.resources.identity import REFUSED


@dataclass(frozen=True)
class Kind:
    """How one of the three looks on the wire."""

    word: str
    struct: type[Any]
    new: type[msgspec.Struct]
    changed: type[msgspec.Struct]


KINDS: Final = {
    "projects": Kind("project", Project, NewProject, ChangedProject),
    "users": Kind("user", User, NewUser, ChangedUser),
    "roles": Kind("role", Role, NewRole, ChangedRole),
}


class People:
    """The handlers of one collection, and `password` and `projects` of a user."""

    def __init__(self, kind: Kind, gate: Gate, passwords: Passwords, logins: Logins) -> None:
        self._kind = kind
        self._gate = gate
        self._passwords = passwords
        self._logins = logins

    async def index(self, call: Call, actor: Actor) -> Response:
        """GET the collection; filters that nobody knows are ignored, as Keystone does."""
        where = _where(dict(call.query()), "id", "name", "enabled")
        found = await self._gate.store.read(lambda tx: identity.list_named(tx, actor, self._kind.struct, where))
        return listed(call, f"{self._kind.word}s", [shown(thing, call.origin) for thing in found])

    async def show(self, call: Call, actor: Actor, thing_id: str) -> Response:
        """GET one."""
        thing = await self._gate.store.read(lambda tx: identity.get_named(tx, actor, self._kind.struct, thing_id))
        return self._one(call, thing, 200)

    async def create(self, call: Call, actor: Actor) -> Response:
        """POST one."""
        body: msgspec.Struct = shaped(await call.json(), self._kind.word, self._kind.new)
        identity.require_admin(actor, f"create_{self._kind.word}")
        wanted = await self._hashed(given(body))
        thing = await self._gate.store.write(
            lambda tx: identity.create_named(tx, actor, self._kind.struct, wanted), actor
        )
        return self._one(call, thing, 201)

    async def update(self, call: Call, actor: Actor, thing_id: str) -> Response:
        """PATCH one."""
        body: msgspec.Struct = shaped(await call.json(), self._kind.word, self._kind.changed)
        identity.require_admin(actor, f"update_{self._kind.word}")
        wanted = await self._hashed(given(body))
        thing = await self._gate.store.write(
            lambda tx: identity.update_named(tx, actor, self._kind.struct, thing_id, wanted), actor
        )
        return self._one(call, thing, 200)

    async def delete(self, call: Call, actor: Actor, thing_id: str) -> Response:
        """DELETE one."""
        await self._gate.store.write(lambda tx: identity.delete_named(tx, actor, self._kind.struct, thing_id), actor)
        return no_content()

    async def change_password(self, call: Call, actor: Actor, user_id: str) -> Response:
        """POST /users/ID/password: a user changes his own by the old one; wrong guesses count as failed logins."""
        body = shaped(await call.json(), "user", NewPassword)
        if user_id != actor.user_id:
            raise Unauthorized(REFUSED)
        user = await self._logins.user_by_password(call, UserProof(password=body.original_password, id=user_id))
        password_hash = await self._passwords.hash(body.password)
        await self._gate.store.write(lambda tx: identity.set_password(tx, user, password_hash), actor)
        return no_content()

    async def projects(self, call: Call, actor: Actor, user_id: str) -> Response:
        """GET /users/ID/projects: where a user has a role."""
        if user_id != actor.user_id:
            identity.require_admin(actor, "list_user_projects")
        found = await self._gate.store.read(lambda tx: identity.projects_of(tx, user_id))
        return listed(call, "projects", [shown(project, call.origin) for project in found])

    def _one(self, call: Call, thing: Any, status: int) -> Response:
        return answer({self._kind.word: shown(thing, call.origin)}, status)

    async def _hashed(self, values: dict[str, Any]) -> dict[str, Any]:
        """With `password_hash` instead of `password`: hashing takes too long for a transaction."""
        if self._kind.struct is not User or "password" not in values:
            return values
        password = values.pop("password")
        return values | {"password_hash": await self._passwords.hash(password) if password else NO_PASSWORD}


def listed(call: Call, key: str, things: list[dict[str, object]]) -> Response:
    """A collection as Keystone answers it; it is never cut into pages."""
    links = {"self": call.origin + call.request.url.path, "previous": None, "next": None}
    return answer({key: things, "links": links})


def _where(query: Mapping[str, str], *known: str) -> dict[str, Any]:
    """The filters that we know. Raises BadRequest for another domain: it does not exist."""
    if query.get("domain_id") not in (None, "", "None", DOMAIN_ID):
        raise BadRequest(f"Could not find domain: {query['domain_id']}.")
    where: dict[str, Any] = {name: query[name] for name in known if name in query}
    if "enabled" in where:
        where["enabled"] = where["enabled"].lower() not in ("false", "0")
    return where
