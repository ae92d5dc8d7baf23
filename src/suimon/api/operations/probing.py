"""Does a real packet get there? It is sent as its port would, and caught at the other (docs/decisions/0026)."""

import secrets

from suimon.api.operations.comparison import Asking, headers_of
from suimon.api.operations.reachability import Told
from suimon.model.things import Port
from suimon.model.view import Act, Question


class Prober:
    """Has the host of the target look out for a probe, the host of the source send it, and asks whether it came."""

    def __init__(self, questions: Asking) -> None:
        self._questions = questions

    async def probe(self, told: Told) -> dict[str, object]:
        """`arrived` (None: it could not be tried) and `words`, which go on from "it"."""
        source, target = told.question.source, told.verdict.target
        if not isinstance(source, Port) or target is None or not told.verdict.there.legs:
            return {
                "arrived": None,
                "words": "was not sent: it goes from one port to another that can send and receive",
            }
        headers, nonce = headers_of(told.verdict.there.legs[0].packet), secrets.token_hex(16)
        arrived = False
        acts: tuple[tuple[Act, Port], ...] = (("expect", target), ("send", source), ("seen", target))
        for act, port in acts:
            asked = Question("", f"port/{port.id}", headers, act=act, nonce=nonce)
            answer = await self._questions.ask(port.binding_host, asked)
            if answer.error:
                return {"arrived": None, "words": f"could not be tried: {answer.error}"}
            arrived = bool(answer.sent)
        return {"arrived": arrived, "words": "arrived" if arrived else "was not seen at its destination"}
