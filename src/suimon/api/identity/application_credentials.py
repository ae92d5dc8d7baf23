"""`/users/U/application_credentials`: the secret is told once, when it is made."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.gate import Gate, token_hash
from suimon.api.identity.passwords import Passwords
from suimon.api.identity.people import listed
from suimon.api.identity.shapes import Description, Identifier, Name, Password, shaped
from suimon.api.wire import Call, answer, no_content
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Unauthorized
from suimon.model.identity import ApplicationCredential, Role, Token
from suimon.resources import application_credentials as acts
from suimon.resources.identity import REFUSED, live_token
from suimon.store.tx import Tx


class NamedRole(msgspec.Struct, omit_defaults=True):
    """A role by id or by name."""

    id: Identifier | None = None
    name: Name | None = None


class NewCredential(msgspec.Struct):
    name: Name
    secret: Password | None = None
    description: Description | None = None
    expires_at: str | None = None
    roles: Annotated[list[NamedRole], Meta(max_length=100)] | None = None
    unrestricted: bool | None = None
    access_rules: list[object] | None = None


class Credentials:
    """The handlers."""

    def __init__(self, gate: Gate, passwords: Passwords) -> None:
        self._gate = gate
        self._passwords = passwords

    async def create(self, call: Call, actor: Actor, user_id: str) -> Response:
        """POST: a credential for the token's project."""
        body = shaped(await call.json(), "application_credential", NewCredential)
        if body.access_rules:
            raise BadRequest("Access rules are not enforced here, so none are accepted: give roles instead.")
        secret = body.secret or secrets.token_urlsafe(64)
        wanted = {
            "user_id": user_id,
            "name": body.name,
            "description": body.description or "",
            "expires_at": _moment(body.expires_at),
            "roles": [msgspec.to_builtins(role) for role in body.roles or ()],
            "unrestricted": bool(body.unrestricted),
            "secret_hash": await self._passwords.hash(secret),
        }

        def make(tx: Tx) -> tuple[ApplicationCredential, list[Role]]:
            made = acts.create_application_credential(tx, actor, self._token(tx, call), wanted)
            return acts.with_roles(tx, [made])[0]

        shown = _shown(*await self._gate.store.write(make, actor), call.origin)
        return answer({"application_credential": shown | {"secret": secret}}, 201)

    async def index(self, call: Call, actor: Actor, user_id: str) -> Response:
        """GET the user's, by `name` if asked."""
        name = dict(call.query()).get("name")
        found = await self._gate.store.read(lambda tx: acts.list_application_credentials(tx, actor, user_id, name))
        return listed(call, "application_credentials", [_shown(*one, call.origin) for one in found])

    async def show(self, call: Call, actor: Actor, user_id: str, credential_id: str) -> Response:
        """GET one."""

        def find(tx: Tx) -> tuple[ApplicationCredential, list[Role]]:
            return acts.with_roles(tx, [acts.find_application_credential(tx, actor, user_id, credential_id)])[0]

        return answer({"application_credential": _shown(*await self._gate.store.read(find), call.origin)})

    async def delete(self, call: Call, actor: Actor, user_id: str, credential_id: str) -> Response:
        """DELETE one, with its tokens."""
        await self._gate.store.write(
            lambda tx: acts.delete_application_credential(tx, actor, self._token(tx, call), user_id, credential_id),
            actor,
        )
        return no_content()

    async def access_rules(self, call: Call, actor: Actor, user_id: str) -> Response:
        """GET /users/U/access_rules: there are none."""
        acts.require_user(actor, user_id, "list_access_rules")
        return listed(call, "access_rules", [])

    def _token(self, tx: Tx, call: Call) -> Token:
        """The caller's own: which project it is for, and whether a credential made it."""
        token = live_token(tx, token_hash(call.header("x-auth-token")), self._gate.now())
        if token is None:
            raise Unauthorized(REFUSED)
        return token


def _moment(text: str | None) -> datetime | None:
    """Keystone's times are UTC, with or without saying so. Raises BadRequest."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest("Invalid input for expires_at: it is a time as in 2026-12-31T23:59:59Z.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _shown(credential: ApplicationCredential, roles: Sequence[Role], origin: str) -> dict[str, object]:
    expires_at = credential.expires_at
    return {
        "id": credential.id,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "name": credential.name,
        "description": credential.description or None,
        "roles": [{"id": role.id, "name": role.name, "domain_id": None} for role in roles],
        "expires_at": f"{expires_at:%Y-%m-%dT%H:%M:%S.%f}" if expires_at else None,
        "unrestricted": credential.unrestricted,
        "system": None,
        "links": {"self": f"{origin}/identity/v3/users/{credential.user_id}/application_credentials/{credential.id}"},
    }
