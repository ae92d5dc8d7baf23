"""Checks what a login proves: a password, a living token, or an application credential's secret.

Whatever is wrong, the answer is the same and costs the same: one hash is computed, also for a user or a credential that
isn't there. Failures are counted by `Throttle` and logged.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec
import structlog

from suimon.api.gate import Gate, token_hash
from suimon.api.identity.passwords import Passwords
from suimon.api.identity.proofs import CredentialProof, Proof, TokenProof, UserProof
from suimon.api.identity.throttle import Throttle
from suimon.api.wire import Call
from suimon.model.errors import BadRequest, TooManyRequests, Unauthorized
from suimon.model.identity import ApplicationCredential, User
from suimon.resources import identity
from suimon.resources.application_credentials import credential_for_login
from suimon.resources.identity import REFUSED
from suimon.store.tx import Tx

log = structlog.get_logger()
T = TypeVar("T")


class Proven(msgspec.Struct, frozen=True):
    """Who logged in, with which credential if any, and the latest end of a token for it if that is bounded."""

    user: User
    credential: ApplicationCredential | None = None
    until: datetime | None = None


class Logins:
    """One for each controller: the throttle counts here."""

    def __init__(self, gate: Gate, passwords: Passwords, throttle: Throttle) -> None:
        self._gate = gate
        self._passwords = passwords
        self._throttle = throttle

    async def check(self, call: Call, proof: Proof) -> Proven:
        """Raises Unauthorized, TooManyRequests after too many failures, BadRequest for a method that isn't known."""
        match proof:
            case Proof(methods=["password"], password=given) if given:
                return Proven(await self.user_by_password(call, given.user))
            case Proof(methods=["token"], token=given) if given:
                return await self._by_token(given)
            case Proof(methods=["application_credential"], application_credential=given) if given:
                return await self._by_credential(call, given)
        raise BadRequest(
            "Methods are ['password'], ['token'] or ['application_credential'], with an object of that name beside it."
        )

    async def user_by_password(self, call: Call, proof: UserProof) -> User:
        """The user who proved himself. Raises as `check` does."""
        where = proof.where

        def find(tx: Tx) -> tuple[User, str] | None:
            user = identity.user_named(tx, where) if where else None
            return (user, user.password_hash) if user else None

        return await self._proved(call, str(proof.id or proof.name), proof.password, find)

    async def _by_credential(self, call: Call, proof: CredentialProof) -> Proven:
        if not proof.id and not (proof.name and proof.user):
            raise BadRequest("An application credential is named by its id, or by its name and its user.")
        where = {"id": proof.id} if proof.id else {"name": proof.name or ""}
        user_where = proof.user.where if proof.user and not proof.id else None

        def find(tx: Tx) -> tuple[Proven, str] | None:
            if not proof.id and user_where is None:
                return None
            found = credential_for_login(tx, where, user_where)
            if found is None or (found[0].expires_at and found[0].expires_at <= self._gate.now()):
                return None
            return Proven(found[1], found[0], found[0].expires_at), found[0].secret_hash

        known = f"application credential {proof.id or proof.name}"
        return await self._proved(call, known, proof.secret, find)

    async def _by_token(self, proof: TokenProof) -> Proven:
        """A token made from another lives as long as that one. One of a credential begets none: it has one project."""
        subject, now = token_hash(proof.id), self._gate.now()

        def owner(tx: Tx) -> Proven:
            token = identity.live_token(tx, subject, now)
            user = identity.user_named(tx, {"id": token.user_id}) if token and not token.credential_id else None
            if token is None or user is None:
                raise Unauthorized(REFUSED)
            return Proven(user, until=token.expires_at)

        return await self._gate.store.read(owner)

    async def _proved(self, call: Call, known: str, secret: str, find: Callable[[Tx], tuple[T, str] | None]) -> T:
        """What `find` finds, if its hash is the secret's."""
        try:
            self._throttle.admit(call.client, known, time.monotonic())
        except TooManyRequests:
            log.debug("login_throttled", client=call.client, user=known, request_id=call.id)
            raise
        found = await self._gate.store.read(find)
        if not await self._passwords.check(secret, found[1] if found else None) or found is None:
            last = self._throttle.failed(call.client, known, time.monotonic())
            log.warning("login_failed", client=call.client, user=known[:255], throttled=last, request_id=call.id)
            raise Unauthorized(REFUSED)
        return found[0]
