"""Who is calling: the token in `X-Auth-Token` becomes an Actor, by one look-up in the store, every time.

Nothing is cached, so that a token revoked through another controller is dead here too.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from suimon.api.wire import Call
from suimon.model.actor import Actor
from suimon.model.errors import Unauthorized
from suimon.resources.identity import REFUSED, live_token
from suimon.store.store import Store
from suimon.store.tx import Tx

T = TypeVar("T")

_TOKEN_LENGTH_LIMIT: Final = 256


class Gate:
    """Lets a call with a living token through to the store."""

    def __init__(self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.store = store
        self.now = now

    async def actor(self, call: Call) -> Actor:
        """The caller. Raises Unauthorized."""
        token_id = _token_id(call)
        return await self.store.read(lambda tx: self._actor(tx, call, token_id), one_statement=True)

    async def read(self, call: Call, act: Callable[[Tx, Actor], T], *, one_statement: bool = False) -> T:
        """Checks the token and does a reading act in one go. Raises Unauthorized and what the act raises."""
        token_id = _token_id(call)
        return await self.store.read(lambda tx: act(tx, self._actor(tx, call, token_id)), one_statement=one_statement)

    def _actor(self, tx: Tx, call: Call, token_id: str) -> Actor:
        token = live_token(tx, token_id, self.now())
        if token is None:
            raise Unauthorized(REFUSED)
        return Actor(token.user_id, token.project_id, frozenset(token.roles), call.id)


def token_hash(token: str) -> str:
    """What the store knows of a token. A plain SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _token_id(call: Call) -> str:
    token = call.header("x-auth-token")
    if not token or len(token) > _TOKEN_LENGTH_LIMIT:
        raise Unauthorized(REFUSED)
    return token_hash(token)
