"""Who is calling: the token in `X-Auth-Token` becomes an Actor, by one look-up in the store, every time.

Nothing of our own is cached, so that a token revoked through another controller is dead here too. Beside a Keystone the
tokens are its own, and `identity.keystone` says what they stand for.

A service that passes a user's request on sends its own token besides, in `X-Service-Token`.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol, TypeVar

import msgspec

from suimon.api.wire import Call
from suimon.model.actor import Actor
from suimon.model.errors import Unauthorized
from suimon.model.identity import WHOLE_SYSTEM
from suimon.resources.identity import REFUSED, live_token
from suimon.store.store import Store
from suimon.store.tx import Tx

T = TypeVar("T")

_TOKEN_LENGTH_LIMIT: Final = 4096
_ON_BEHALF: Final = "x-service-token"


class Elsewhere(Protocol):
    """Whoever else knows what a token stands for: `identity.keystone.Keystone`."""

    async def actor(self, token: str, request_id: str) -> Actor:
        """Raises Unauthorized, Unavailable."""
        ...


class Gate:
    """Lets a call with a living token through to the store."""

    def __init__(
        self, store: Store, now: Callable[[], datetime] | None = None, elsewhere: Elsewhere | None = None
    ) -> None:
        self.store = store
        self.now = now or store.now
        self._elsewhere = elsewhere

    async def actor(self, call: Call) -> Actor:
        """The caller. Raises Unauthorized, and Unavailable when whoever knows him doesn't answer."""
        token = _token(call, "x-auth-token")
        if self._elsewhere:
            return await self._told(self._elsewhere, call, token)
        return await self.store.read(lambda tx: self._actor(tx, call, token), one_statement=True)

    async def read(self, call: Call, act: Callable[[Tx, Actor], T], *, one_statement: bool = False) -> T:
        """Checks the token and does a reading act in one go. Raises as `actor` does, and what the act raises."""
        token = _token(call, "x-auth-token")
        if self._elsewhere:
            actor = await self._told(self._elsewhere, call, token)
            return await self.store.read(lambda tx: act(tx, actor), one_statement=one_statement)
        return await self.store.read(lambda tx: act(tx, self._actor(tx, call, token)), one_statement=one_statement)

    def _actor(self, tx: Tx, call: Call, token: str) -> Actor:
        actor = self._known(tx, token, call.id)
        if not call.header(_ON_BEHALF):
            return actor
        return msgspec.structs.replace(actor, service_roles=self._known(tx, _token(call, _ON_BEHALF), call.id).roles)

    def _known(self, tx: Tx, token: str, request_id: str) -> Actor:
        found = live_token(tx, token_hash(token), self.now())
        if found is None:
            raise Unauthorized(REFUSED)
        project = "" if found.project_id == WHOLE_SYSTEM else found.project_id
        return Actor(found.user_id, project, frozenset(found.roles), request_id)

    async def _told(self, elsewhere: Elsewhere, call: Call, token: str) -> Actor:
        actor = await elsewhere.actor(token, call.id)
        if not call.header(_ON_BEHALF):
            return actor
        on_behalf = await elsewhere.actor(_token(call, _ON_BEHALF), call.id)
        return msgspec.structs.replace(actor, service_roles=on_behalf.roles)


def token_hash(token: str) -> str:
    """What the store knows of a token. A plain SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _token(call: Call, header: str) -> str:
    token = call.header(header)
    if not token or len(token) > _TOKEN_LENGTH_LIMIT or not token.isascii() or not token.isprintable():
        raise Unauthorized(REFUSED)
    return token
