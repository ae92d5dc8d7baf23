"""What was dropped of a port's packets, and why: counted by its host's switch, and asked of it when somebody asks."""

from typing import Final, Protocol

from starlette.responses import Response

from suimon.api.gate import Gate
from suimon.api.operations.allowance import Allowance
from suimon.api.wire import Call, answer
from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.questions import CountDrops, Traced
from suimon.model.things import Port
from suimon.pipeline.drops import WORDS
from suimon.store.tx import Tx

_UNBOUND: Final = "The port is bound to no host."
_UNASKED: Final = "The port's host can't be asked now."


class Asking(Protocol):
    """Who asks hosts: `distribution.inquiry.Questions`."""

    async def ask(self, host: str, question: CountDrops) -> Traced: ...


class Drops:
    """The handler of `/operations/v1/ports/<id>/drops`."""

    def __init__(self, gate: Gate, allowance: Allowance, questions: Asking | None) -> None:
        self._store = gate.store
        self._allowance = allowance
        self._questions = questions

    async def show(self, call: Call, actor: Actor, port_id: str) -> Response:
        """GET, for operators and whoever owns the port: packets by reason and connections, or why none are known."""
        port = await self._store.read(lambda tx: _own(tx, actor, port_id), one_statement=True)
        if not actor.admin:
            self._allowance.spend(actor.project_id)
        traced = Traced("", error=_UNBOUND)
        if port.binding_host:
            traced = Traced("", error="this controller has no line to hosts")
            if self._questions is not None:
                traced = await self._questions.ask(port.binding_host, CountDrops("", port.id))
        unknown = traced.error if actor.admin or not port.binding_host else traced.error and _UNASKED
        counted = [
            {"reason": reason, "packets": traced.drops[reason], "words": words}
            for reason, words in WORDS.items()
            if traced.drops.get(reason, 0) > 0
        ]
        filled = dict(zip(("now", "most"), traced.connections, strict=True)) if traced.connections else None
        return answer({"drops": {"port_id": port.id, "counted": counted, "connections": filled, "unknown": unknown}})


def _own(tx: Tx, actor: Actor, port_id: str) -> Port:
    port = tx.get(Port, port_id)
    if port is None or not (actor.admin or port.project_id == actor.viewer):
        raise NotFound(f"Port {port_id} could not be found.", "PortNotFound")
    return port
