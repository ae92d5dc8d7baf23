"""What happens by itself: `/operations/v1/rulebook`, `breaker` and `subscribers`."""

import secrets
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.operations.incidents import Why
from suimon.api.wire import Call, answer, converted, no_content
from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.incidents import Breaker, RulebookVersion, Subscriber
from suimon.resources import rulebooks
from suimon.resources import subscribers as subscriptions
from suimon.resources.breaker import breaker, close_breaker, open_breaker
from suimon.resources.rule_file import MOST_BYTES
from suimon.store.tx import Tx


class Written(msgspec.Struct, forbid_unknown_fields=True):
    """A rulebook, why, and after which version it was written (None: whichever)."""

    text: Annotated[str, Meta(max_length=MOST_BYTES)]
    why: Annotated[str, Meta(min_length=1, max_length=1000)]
    after: int | None = None


class Subscription(msgspec.Struct, forbid_unknown_fields=True):
    """Where to tell it."""

    url: Annotated[str, Meta(max_length=2000)]


class Automation:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._store = gate.store

    async def rulebook(self, call: Call, actor: Actor) -> Response:
        """GET: what is in force."""

        def read(tx: Tx) -> RulebookVersion | None:
            rulebooks.require_operator(actor, "see rules")
            return rulebooks.newest(tx)

        found = await self._store.read(read)
        return answer({"rulebook": found or {"version": 0, "text": ""}})

    async def versions(self, call: Call, actor: Actor) -> Response:
        """GET: who wrote which version, when, why, and what it changed."""
        found = await self._store.read(lambda tx: rulebooks.rulebook_versions(tx, actor))
        return answer({"versions": [{**msgspec.structs.asdict(one), "text": None} for one in found]})

    async def version(self, call: Call, actor: Actor, number: str) -> Response:
        """GET one."""
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise NotFound(f"There is no version {number[:20]} of the rulebook.")
        found = await self._store.read(lambda tx: rulebooks.rulebook_version(tx, actor, int(number)))
        return answer({"rulebook": found})

    async def write(self, call: Call, actor: Actor) -> Response:
        """PUT: a new version is in force, or what is wrong with it, with line and column."""
        said = converted(await call.json(), Written)

        def act(tx: Tx) -> RulebookVersion:
            return rulebooks.put_rulebook(tx, actor, said.text, said.why, said.after)

        return answer({"rulebook": await self._store.write(act, actor)})

    async def breaker(self, call: Call, actor: Actor) -> Response:
        """GET: whether anything happens by itself, and if not, why."""

        def read(tx: Tx) -> Breaker | None:
            rulebooks.require_operator(actor, "see the breaker")
            return breaker(tx)

        found = await self._store.read(read)
        return answer({"breaker": found or {"is_open": False}})

    async def close(self, call: Call, actor: Actor) -> Response:
        """POST: it goes on."""
        said = converted(await call.json(), Why)
        return answer({"breaker": await self._store.write(lambda tx: close_breaker(tx, actor, said.why), actor)})

    async def open(self, call: Call, actor: Actor) -> Response:
        """POST: nothing happens by itself from now on."""
        said = converted(await call.json(), Why)

        def act(tx: Tx) -> Breaker:
            rulebooks.require_operator(actor, "open the breaker")
            return open_breaker(tx, actor, said.why)

        return answer({"breaker": await self._store.write(act, actor)})

    async def subscribers(self, call: Call, actor: Actor) -> Response:
        """GET: without their secrets."""
        found = await self._store.read(lambda tx: subscriptions.list_subscribers(tx, actor))
        return answer({"subscribers": [_shown(one) for one in found]})

    async def subscribe(self, call: Call, actor: Actor) -> Response:
        """POST: the secret that signs what is sent is told now and never again."""
        said, secret = converted(await call.json(), Subscription), secrets.token_hex(32)
        made = await self._store.write(lambda tx: subscriptions.add_subscriber(tx, actor, said.url, secret), actor)
        return answer({"subscriber": {**_shown(made), "secret": secret}}, 201)

    async def unsubscribe(self, call: Call, actor: Actor, id_: str) -> Response:
        """DELETE."""
        await self._store.write(lambda tx: subscriptions.remove_subscriber(tx, actor, id_), actor)
        return no_content()


def _shown(subscriber: Subscriber) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(subscriber).items() if name != "secret"}
