"""Does a real packet get there? It is sent as its port would, or from a gateway host as if from outside, and caught
at the other port, or where it leaves for the outside (docs/decisions/0026).
"""

import secrets
from typing import Final

from suimon.api.operations.comparison import Asking, headers_of
from suimon.api.operations.reachability import Told
from suimon.distribution.reachability import Verdict
from suimon.model.questions import Act, Question
from suimon.model.things import Port

Place = tuple[str, str]
"""A host and one of its entries, as a `Question` calls it."""
_TRIES: Final = 2
"""A first packet may be lost where a neighbour has to be found; a second one is lost for a reason."""


class Prober:
    """Has a host look out for a probe where it is to arrive, another one send it, and asks whether it came."""

    def __init__(self, questions: Asking) -> None:
        self._questions = questions

    async def probe(self, told: Told) -> dict[str, object]:
        """`arrived` (None: it could not be tried) and `words`, which go on from "it"."""
        legs, begin, end = told.verdict.there.legs, _begin(told), _end(told.verdict)
        if not legs or begin is None or end is None:
            words = (
                "from or to a port that can send and receive, and from outside by a gateway host that is not on its way"
            )
            return {"arrived": None, "words": f"was not sent: it goes {words}"}
        arrived = False
        acts: tuple[tuple[Act, Place], ...] = (("expect", end), ("send", begin), ("seen", end))
        for _ in range(_TRIES):
            nonce = secrets.token_hex(16)
            for act, (host, entry) in acts:
                asked = Question("", entry, headers_of(legs[0].packet), act=act, nonce=nonce)
                answer = await self._questions.ask(host, asked)
                if answer.error:
                    return {"arrived": None, "words": f"could not be tried: {answer.error}"}
                arrived = bool(answer.sent)
            if arrived:
                break
        return {"arrived": arrived, "words": "arrived" if arrived else "was not seen at its destination"}


def _begin(told: Told) -> Place | None:
    source = told.question.source
    return (source.binding_host, f"port/{source.id}") if isinstance(source, Port) else told.verdict.outside


def _end(verdict: Verdict) -> Place | None:
    """The port that is asked about; without, where the model has the packet leave for the outside."""
    if verdict.target is not None:
        return verdict.target.binding_host, f"port/{verdict.target.id}"
    out = [(leg.host, way) for leg in verdict.there.legs for way in leg.ways if way.startswith("provider/")]
    return out[-1] if out else None
