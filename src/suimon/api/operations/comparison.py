"""Do the hosts' switches agree with the model? Each leg of a verdict is asked of its host with `ofproto/trace`."""

from typing import Final, Protocol

from suimon.api.operations.reachability import Told
from suimon.model.questions import Question, Traced
from suimon.pipeline.simulate.journey import Leg
from suimon.pipeline.simulate.packet import Packet
from suimon.pipeline.tables import Stage

_HEADERS: Final = ("eth_", "ip", "tcp_", "udp_", "icmp", "vlan_vid", "tun_")
_TRACKED: Final = (
    *("ct_state", "ct_mark", "ct_nw_proto", "ct_nw_src", "ct_nw_dst"),
    *("ct_ipv6_src", "ct_ipv6_dst", "ct_tp_src", "ct_tp_dst"),
)


_ASKS: Final = frozenset({"agent"}), ""
"""What a switch does with a packet for a next hop outside that no guest has used for a while."""
_WAITS: Final = "asks for its next hop"


class Asking(Protocol):
    """Who asks hosts: `distribution.inquiry.Questions`."""

    async def ask(self, host: str, question: Question) -> Traced: ...


class Comparer:
    """Asks one leg after the other, so that no host has two questions of ours."""

    def __init__(self, questions: Asking) -> None:
        self._questions = questions

    async def compare(self, told: Told) -> dict[str, object]:
        """`trace` with what each host said, and `findings`: a sentence for each leg that the model has otherwise."""
        legs = [*told.verdict.there.legs, *told.verdict.back.legs]
        shown: list[dict[str, object]] = []
        findings: list[str] = []
        agreed = 0
        for leg in legs:
            traced = await self._questions.ask(leg.host, _question(leg))
            model = _model(leg)
            switch = (frozenset(traced.sent), "" if traced.sent else traced.stage)
            verdict = "agrees" if switch == model else "disagrees"
            if traced.error:
                verdict = "not asked"
            elif switch == _ASKS and traced.stage == Stage.NEIGHBOUR.label and leg.result.sent:
                verdict = _WAITS
            elif switch != model:
                findings.append(
                    f"on {leg.host} the model says {_words(model)}, the switch's trace says {_words(switch)}"
                )
            agreed += verdict == "agrees"
            shown.append({"host": leg.host, "entry": leg.entry, "verdict": verdict, "error": traced.error})
            shown[-1] |= {"sent": traced.sent, "stage": traced.stage, "actions": traced.actions}
        words = f"{agreed} of {len(legs)} legs agree with the hosts' switches"
        words += "".join(f"; {each['host']} {_WAITS}" for each in shown if each["verdict"] == _WAITS)
        unasked = [f"{each['host']}: {each['error']}" for each in shown if each["error"]]
        return {"trace": {"words": "; ".join([words, *unasked]), "legs": shown}, "findings": findings}


def headers_of(packet: Packet) -> dict[str, int]:
    """What another switch sees of a packet."""
    return {name: value for name, value in packet.fields.items() if value and name.startswith(_HEADERS)}


def _question(leg: Leg) -> Question:
    headers = headers_of(leg.packet)
    resumed = [step.packet.fields for step in leg.result.steps if step.resumed]
    tracked = tuple({name: fields.get(name, 0) for name in _TRACKED} for fields in resumed)
    return Question("", leg.entry, headers, tracked, leg.packet.size)


def _model(leg: Leg) -> tuple[frozenset[str], str]:
    """To where the model sends the packet, or the last stage that it met."""
    ways = frozenset(leg.ways) | ({"agent"} if leg.result.to_controller else set())
    return ways, "" if ways else leg.result.last.stage.label


def _words(said: tuple[frozenset[str], str]) -> str:
    ways, stage = said
    return f"sent by {', '.join(sorted(ways))}" if ways else f"dropped at {stage}"
