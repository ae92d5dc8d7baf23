"""Logging in and what follows: tokens issued, shown, ended; what a token gives access to."""

import secrets
import time
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta

import msgspec
from starlette.responses import Response

from suimon.api.gate import Gate, token_hash
from suimon.api.identity.catalog import catalog
from suimon.api.identity.passwords import Passwords
from suimon.api.identity.shapes import DOMAIN, Domain, Identifier, Name, Password, shaped, shown, wire_time
from suimon.api.identity.throttle import Throttle
from suimon.api.wire import Call, answer, no_content
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Unauthorized
from suimon.model.identity import Token, User
from suimon.resources import identity
from suimon.resources.identity import REFUSED, Session
from suimon.store.tx import Tx


class Config(msgspec.Struct, frozen=True):
    lifetime_s: float = 12 * 3600


class UserProof(msgspec.Struct):
    """Who logs in with a password: by id, or by name in a domain."""

    password: Password
    id: Identifier | None = None
    name: Name | None = None
    domain: Domain = msgspec.field(default_factory=Domain)


class PasswordProof(msgspec.Struct):
    user: UserProof


class TokenProof(msgspec.Struct):
    id: str


class Proof(msgspec.Struct):
    methods: list[str]
    password: PasswordProof | None = None
    token: TokenProof | None = None


class ProjectScope(msgspec.Struct):
    id: Identifier | None = None
    name: Name | None = None
    domain: Domain = msgspec.field(default_factory=Domain)


class Scope(msgspec.Struct):
    """Only projects: nobody has a role in the domain or the system here."""

    project: ProjectScope | None = None


class Login(msgspec.Struct):
    identity: Proof
    scope: Scope | str | None = None


class Tokens:
    """The handlers of `/auth`."""

    def __init__(self, config: Config, gate: Gate, passwords: Passwords, throttle: Throttle) -> None:
        self._lifetime = timedelta(seconds=config.lifetime_s)
        self._gate = gate
        self._passwords = passwords
        self._throttle = throttle

    async def issue(self, call: Call) -> Response:
        """POST /auth/tokens: a token for a password or for another token."""
        login = shaped(await call.json(), "auth", Login)
        scope = _scope_wanted(login.scope)
        now = self._gate.now()
        expires_at = now + self._lifetime
        if login.identity.methods == ["password"] and login.identity.password:
            user = await self.user_by_password(call, login.identity.password.user)
        elif login.identity.methods == ["token"] and login.identity.token:
            user, expires_at = await self._user_by_token(login.identity.token)
        else:
            raise BadRequest("Methods are ['password'] or ['token'], with an object of that name beside it.")
        secret = secrets.token_hex(32)
        blank = Token(
            id=token_hash(secret),
            user_id=user.id,
            project_id="",
            roles=(),
            audit_id=urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("="),
            issued_at=now,
            expires_at=expires_at,
        )
        actor = Actor(user.id, "", frozenset(), call.id)
        session = await self._gate.store.write(lambda tx: identity.issue_token(tx, user, scope, blank), actor)
        return answer({"token": _told(session, call)}, 201, {"X-Subject-Token": secret, "Vary": "X-Auth-Token"})

    async def user_by_password(self, call: Call, proof: UserProof) -> User:
        """The user who proved himself. Raises Unauthorized, and TooManyRequests after too many failures."""
        where = {"id": proof.id} if proof.id else {"name": proof.name}
        known = str(proof.id or proof.name)
        self._throttle.admit(call.client, known, time.monotonic())
        user = None
        if proof.id or (proof.name and proof.domain.exists):
            user = await self._gate.store.read(lambda tx: identity.user_named(tx, where))
        if not await self._passwords.check(proof.password, user.password_hash if user else None) or user is None:
            self._throttle.failed(call.client, known, time.monotonic())
            raise Unauthorized(REFUSED)
        return user

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

    async def _user_by_token(self, proof: TokenProof) -> tuple[User, datetime]:
        """The owner of a living token, and until when a token made from it may live: as long as it does."""
        subject, now = token_hash(proof.id), self._gate.now()

        def owner(tx: Tx) -> tuple[User, datetime]:
            token = identity.live_token(tx, subject, now)
            user = identity.user_named(tx, {"id": token.user_id}) if token else None
            if token is None or user is None:
                raise Unauthorized(REFUSED)
            return user, token.expires_at

        return await self._gate.store.read(owner)


def _scope_wanted(scope: Scope | str | None) -> dict[str, str] | None:
    """As `identity.issue_token` takes it. Raises BadRequest for no form at all, Unauthorized for other scopes."""
    match scope:
        case None:
            return {}
        case "unscoped":
            return None
        case Scope(project=ProjectScope(id=str(project_id))):
            return {"id": project_id}
        case Scope(project=ProjectScope(name=str(name), domain=domain)):
            if not domain.exists:
                raise Unauthorized(REFUSED)
            return {"name": name}
        case Scope(project=None):
            raise Unauthorized(REFUSED)
    raise BadRequest("Invalid input for scope: a project has an id, or a name and a domain.")


def _told(session: Session, call: Call) -> dict[str, object]:
    """The body of a token."""
    token, user, project = session.token, session.user, session.project
    told: dict[str, object] = {
        "methods": ["password"],
        "user": {"id": user.id, "name": user.name, "domain": DOMAIN, "password_expires_at": None},
        "audit_ids": [token.audit_id],
        "issued_at": wire_time(token.issued_at),
        "expires_at": wire_time(token.expires_at),
    }
    if project is None:
        return told
    return told | {
        "project": {"id": project.id, "name": project.name, "domain": DOMAIN},
        "is_domain": False,
        "roles": [{"id": role.id, "name": role.name} for role in session.roles],
        "catalog": catalog(call.origin),
    }
