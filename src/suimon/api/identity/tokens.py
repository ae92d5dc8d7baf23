"""Logging in and what follows: tokens issued, shown, ended; what a token gives access to."""

import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta

import msgspec
from starlette.responses import Response

from suimon.api.gate import Gate, token_hash
from suimon.api.identity.catalog import catalog
from suimon.api.identity.logins import Logins
from suimon.api.identity.proofs import Login, scope_wanted
from suimon.api.identity.shapes import DOMAIN, shaped, shown, wire_time
from suimon.api.wire import Call, answer, no_content
from suimon.model.actor import Actor
from suimon.model.identity import WHOLE_SYSTEM, Token
from suimon.resources import identity
from suimon.resources.identity import Session


class Config(msgspec.Struct, frozen=True):
    lifetime_s: float = 12 * 3600


class Tokens:
    """The handlers of `/auth`."""

    def __init__(self, config: Config, gate: Gate, logins: Logins) -> None:
        self._lifetime = timedelta(seconds=config.lifetime_s)
        self._gate = gate
        self.logins = logins

    async def issue(self, call: Call) -> Response:
        """POST /auth/tokens: a token for a password, for another token, or for an application credential."""
        login = shaped(await call.json(), "auth", Login)
        scope = scope_wanted(login.scope)
        proven = await self.logins.check(call, login.identity)
        now = self._gate.now()
        expires_at = min(now + self._lifetime, proven.until or now + self._lifetime)
        secret = secrets.token_hex(32)
        blank = Token(
            id=token_hash(secret),
            user_id=proven.user.id,
            project_id="",
            roles=(),
            audit_id=urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("="),
            issued_at=now,
            expires_at=expires_at,
        )
        actor = Actor(proven.user.id, "", frozenset(), call.id)
        session = await self._gate.store.write(
            lambda tx: identity.issue_token(tx, proven.user, scope, blank, proven.credential), actor
        )
        return answer({"token": _told(session, call)}, 201, {"X-Subject-Token": secret, "Vary": "X-Auth-Token"})

    async def show(self, call: Call, actor: Actor) -> Response:
        """GET (and HEAD) /auth/tokens: what the token in X-Subject-Token stands for."""
        subject, now = token_hash(call.header("x-subject-token")), self._gate.now()
        session = await self._gate.store.read(
            lambda tx: identity.session_of(tx, actor, identity.live_token(tx, subject, now))
        )
        return answer({"token": _told(session, call)}, 200, {"X-Subject-Token": call.header("x-subject-token")})

    async def revoke(self, call: Call, actor: Actor) -> Response:
        """DELETE /auth/tokens: ends the token in X-Subject-Token."""
        subject, now = token_hash(call.header("x-subject-token")), self._gate.now()
        await self._gate.store.write(
            lambda tx: identity.revoke_token(tx, actor, identity.live_token(tx, subject, now)), actor
        )
        return no_content()

    async def projects(self, call: Call, actor: Actor) -> Response:
        """GET /auth/projects: where the caller could get a token for."""
        found = await self._gate.store.read(lambda tx: identity.projects_of(tx, actor.user_id))
        return answer({"projects": [shown(project, call.origin) for project in found], "links": {}})

    async def catalog(self, call: Call, actor: Actor) -> Response:
        """GET /auth/catalog."""
        return answer({"catalog": catalog(call.origin), "links": {}})

    async def domains(self, call: Call, actor: Actor) -> Response:
        """GET /auth/domains: nobody has a role in a domain."""
        return answer({"domains": [], "links": {}})

    async def system(self, call: Call, actor: Actor) -> Response:
        """GET /auth/system: whether the caller could get a token for the whole system."""
        where = {"user_id": actor.user_id, "project_id": WHOLE_SYSTEM}
        found = await self._gate.store.read(lambda tx: identity.list_assignments(tx, actor, where))
        return answer({"system": [{"all": True}] if found else [], "links": {}})


def _told(session: Session, call: Call) -> dict[str, object]:
    """The body of a token."""
    token, user, project, credential = session.token, session.user, session.project, session.credential
    told: dict[str, object] = {
        "methods": ["application_credential" if credential else "password"],
        "user": {"id": user.id, "name": user.name, "domain": DOMAIN, "password_expires_at": None},
        "audit_ids": [token.audit_id],
        "issued_at": wire_time(token.issued_at),
        "expires_at": wire_time(token.expires_at),
    }
    if credential:
        told["application_credential"] = {
            "id": credential.id, "name": credential.name, "restricted": not credential.unrestricted
        }  # fmt: skip
    if project:
        told |= {"project": {"id": project.id, "name": project.name, "domain": DOMAIN}, "is_domain": False}
    elif token.project_id == WHOLE_SYSTEM:
        told["system"] = {"all": True}
    else:
        return told
    told["roles"] = [{"id": role.id, "name": role.name} for role in session.roles]
    return told if "nocatalog" in dict(call.query()) else told | {"catalog": catalog(call.origin)}
