"""One cloud, asked and changed and asked again: what the oracle says is held against what hosts do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from random import Random

from tests.oracle.cluster import Cluster
from tests.oracle.frame import TCP, UDP, Arrival
from tests.oracle.guard import Body
from tests.oracle.intent import ANY_MAC, Memory, Oracle, Unsaid
from tests.oracle.questions import Asker, Question
from tests.oracle.topology import begin, change
from tests.pipeline.underlay import Journey

_MOST_REMEMBERED = 40


class Trial:
    """`asked` counts the questions by what became of them."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster, self.asked = cluster, Counter[str]()
        self.history: list[str] = []
        self.journeys: list[Journey] = []
        """Of the questions since this was emptied."""
        self._random, self._memory = Random(seed), Memory()
        self._earlier: list[Question] = []
        begin(cluster, seed)
        self._learn()

    def change(self, name: str, seed: int) -> bool:
        """Whether there was something to change."""
        if not change(self.cluster, name, seed):
            return False
        self.history.append(f"{name} {seed}")
        self.cluster.follow()
        self._learn()
        return True

    def ask(self, count: int) -> None:
        """Old questions first: connections that were open meet what changed. Then new ones and their answers.

        Raises AssertionError where the oracle and the hosts differ.
        """
        for question in self._random.sample(self._earlier, min(len(self._earlier), count // 4)):
            if question.sender in self._oracle.ports or question.sender.startswith("machine"):
                self.compare(question)
        for question in list(self._asker.questions(count)):
            arrivals = self.compare(question)
            self._compare_fragments(question, arrivals)
            for arrival in sorted(arrivals, key=str):
                error = self._asker.error(question, arrival)
                if error and self._random.random() < 0.7:
                    self.compare(error)
                back = self._asker.answer(question, arrival)
                if back and self._random.random() < 0.5:
                    self.compare(back)
                    self._earlier = [*self._earlier[-_MOST_REMEMBERED:], question, back]

    def compare(self, question: Question) -> list[Arrival]:
        """Who gets it."""
        machine = next((each for each in self.cluster.machines if each["id"] == question.sender), None)
        found, journey = self.cluster.send(question.sender, question.frame)
        others = None if machine else self._oracle.unanswered(question.sender, question.frame)
        expected: list[set[Arrival]] = []
        try:
            for each in self._oracle.possible(partial(self._said, machine, question)):
                expected.append(each)
                if any(_same(found, one) for one in (each, others) if one is not None):
                    break
            else:
                raise AssertionError(self._told(question, expected, found, journey))
        except Unsaid:
            self.asked["errors left to agents"] += 1
            return found
        self.asked["errors"] += question.frame.quoted is not None
        self.asked["delivered" if expected[-1] else "dropped"] += 1
        self.asked["by one of several next hops"] += bool(self._oracle.offered)
        rivals = [step for leg in journey.legs for step in leg.result.steps if step.rivals]
        assert not rivals, f"flows of one priority disagree: {rivals}"
        self.journeys.append(journey)
        return found

    def _compare_fragments(self, question: Question, arrivals: list[Arrival]) -> None:
        """Fragments go where their datagram went, to the same addresses, and what wasn't allowed doesn't pass with its
        first fragment; later ones are no use without it.
        """
        frame, met = question.frame, {each.place for each in arrivals}
        if frame.protocol not in (TCP, UDP) or frame.flooded or self._oracle.offered or met & {"agent", "services"}:
            return
        whole = sorted((each.place, each.frame.src, each.frame.dst) for each in arrivals)
        for later in (False, True) if arrivals else (False,):
            got, journey = self.cluster.send_fragment(question.sender, frame, later=later)
            told = f"{'a later' if later else 'the first'} fragment reached {got}"
            # To be nobody yet is allowed by L4 ports alone, which later ones don't have.
            lost = later and frame.src == "0.0.0.0" and self._secure(question)
            assert got == ([] if lost else whole), f"{told}: " + self._told(question, [], arrivals, journey)
            self.journeys.append(journey)
            self.asked["fragments"] += 1

    def _secure(self, question: Question) -> bool:
        port = self._oracle.ports.get(question.sender)
        return port is not None and bool(port["port_security_enabled"])

    def _said(self, machine: Body | None, question: Question) -> set[Arrival]:
        if machine:
            return self._oracle.from_machine(machine, question.frame)
        return self._oracle.from_port(question.sender, question.frame)

    def _learn(self) -> None:
        self.resources = self.cluster.resources()
        self._oracle = Oracle(self.resources, self._memory)
        self._asker = Asker(self.resources, self._random)

    def _told(self, question: Question, expected: list[set[Arrival]], found: list[Arrival], journey: Journey) -> str:
        lines = [
            f"{question}",
            "the oracle says:",
            *(str(each) for one in expected for each in one),
            "the hosts say:",
            *map(str, found),
        ]
        for leg in journey.legs:
            lines.append(f"on {leg.host}:")
            for step in leg.result.steps:
                flow = step.flow
                actions = " ".join(map(str, flow.actions)) if flow else "nothing matched"
                lines.append(f"  {step.stage.label} {flow.owner if flow else ''} {actions} {step.note}")
        return "\n".join([*lines, "after:", *self.history])


def _same(found: Iterable[Arrival], expected: set[Arrival]) -> bool:
    return _plain(found, expected) == sorted(map(_bare, expected))


def _plain(found: Iterable[Arrival], expected: set[Arrival]) -> list[Arrival]:
    """What was found, without what doesn't matter.

    A source that is the routing host's own affair; and whether a question that was answered also went to others.
    """
    wanted = set(map(_bare, expected))
    answered = any(not each.frame.asks for each in expected)
    bare = []
    for each in map(_bare, found):
        masked = Arrival(each.place, each.frame.but(eth_src=ANY_MAC))
        if answered and each not in wanted and each.frame.asks and each.frame.what in ("arp", "nd"):
            continue
        bare.append(masked if masked in wanted else each)
    return sorted(bare)


def _bare(arrival: Arrival) -> Arrival:
    return Arrival(arrival.place, arrival.frame.but(ttl=0, opens=True))
