"""Restrictions: operators make, see and release them; a tenant sees those that bind him, and whom to turn to."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.wire import Call, answer
from suimon.model.actor import Actor
from suimon.model.errors import BadRequest
from suimon.model.query import Query, parse_query
from suimon.model.things import Restriction
from suimon.resources import remedies
from suimon.resources import restrictions as acts
from suimon.resources.restrictions import RESTRICTIONS, SPEC
from suimon.store.tx import Tx

_PAGE: Final = 1000
_NEWEST: Final = (("created_at", True),)


class Release(msgspec.Struct, forbid_unknown_fields=True):
    """Why, in words for the record; of many, how long ago they may have been made (None: whenever)."""

    why: Annotated[str, Meta(min_length=1, max_length=1024)]
    within_s: Annotated[int, Meta(ge=1, le=366 * 86400)] | None = None


class Restrictions:
    """The handlers of `/operations/v1/restrictions`."""

    def __init__(self, gate: Gate) -> None:
        self._store = gate.store

    async def index(self, call: Call, actor: Actor) -> Response:
        """GET: the newest first, a thousand at most at once; `marker` goes on behind one."""
        query = parse_query(SPEC, call.query())
        page = msgspec.structs.replace(query, sort=query.sort or _NEWEST, limit=min(query.limit or _PAGE, _PAGE))
        return answer({"restrictions": await self._store.read(lambda tx: _listed(tx, actor, page))})

    async def show(self, call: Call, actor: Actor, id_: str) -> Response:
        """GET one."""
        shown = await self._store.read(lambda tx: RESTRICTIONS.get(tx, actor, id_))
        return answer({"restriction": SPEC.render(shown, actor)})

    async def create(self, call: Call, actor: Actor) -> Response:
        """POST: one, or a list of which all or none are made."""
        items, many = SPEC.unwrap(await call.json())
        wanted = [SPEC.for_create(item, actor) for item in items]
        made = await self._write(actor, lambda tx: remedies.restrict(tx, actor, wanted))
        return answer({"restrictions": made} if many else {"restriction": made[0]}, 201)

    async def release(self, call: Call, actor: Actor, id_: str) -> Response:
        """POST: it ends now."""
        wanted = _release(await call.json())
        released = await self._write(actor, lambda tx: [acts.release(tx, actor, id_, wanted.why)])
        return answer({"restriction": released[0]})

    async def release_all(self, call: Call, actor: Actor) -> Response:
        """POST: all that were made within a time end now; which they were."""
        wanted = _release(await call.json())

        def act(tx: Tx) -> list[Restriction]:
            since = None if wanted.within_s is None else tx.now - timedelta(seconds=wanted.within_s)
            return acts.release_all(tx, actor, since, wanted.why)

        released: list[dict[str, object]] = []
        while part := await self._write(actor, act):
            released += part
        return answer({"restrictions": released})

    async def _write(self, actor: Actor, act: Callable[[Tx], list[Restriction]]) -> list[dict[str, object]]:
        def shown(tx: Tx) -> list[dict[str, object]]:
            return [SPEC.render(each, actor) for each in RESTRICTIONS.shown(tx, act(tx))]

        return await self._store.write(shown, actor)


def _listed(tx: Tx, actor: Actor, query: Query) -> list[dict[str, object]]:
    return [SPEC.render(each, actor, query.fields) for each in RESTRICTIONS.page(tx, actor, query)]


def _release(body: object) -> Release:
    try:
        return msgspec.convert({} if body is None else body, Release)
    except msgspec.ValidationError as error:
        raise BadRequest(f"A release can't be asked for so: {error}.") from None
