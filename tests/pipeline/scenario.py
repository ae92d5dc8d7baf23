"""Scenario files: a small cloud, steps that change it, and what must come of each.

A file is sections, each a header `-- kind argument --` and its lines; text before the first is a comment.

    -- world --            lines of `tests.pipeline.cloud`: what is there at first
    -- step WORDS --       changes: `set LINE`, `delete KIND NAME`, `plug PORT OFPORT`, `unplug PORT`,
                           `learn NETWORK IP MAC`, `forget NETWORK IP`, `away VTEP…` (gateways that don't serve),
                           `refused HOST PHYSNET VTEP…` (it doesn't serve that network, or by a gateway's MAC that
                           router, and others don't serve at all),
                           `lapse SECONDS` (it is that late), `late HOST…` (not told yet),
                           `arrive PORT` (its guest was heard where it is waited for),
                           `expect PORT tcp/61000` (a probe from that l4 port), `expect PORT` (none any more); the
                           same of `provider/PHYSNET`, on all hosts
    -- flows HOST --       what the last step changed in that host's flows and groups, by stage; + new, - gone
    -- asks --             QUESTION: answer

Questions are put to simulated switches, whose connections live on from step to step:

    vm1 -> vm2 tcp/22      the first packet of a new connection and the answer to it; `-> 10.0.0.5` by address
    vm1 ~> vm2 tcp/22      a later packet of that connection, from its opener
    vm1 <~ vm2 tcp/22      a later packet of that connection, to its opener
    vm1 ~~> vm2 udp/53     a later fragment of a datagram of that connection, from its opener
    vm1 <! vm2 udp/53      an ICMP error about what the opener sent first, to it
    vm1@h2 ~> vm2 tcp/22   the same, sent where it is bound to, but isn't active
    vm1 arp 10.0.0.5       who has that address?
    vm1 dhcp               a DHCPDISCOVER
    vm1 ns 2001:db8::5     who has that address? `dad` asks from none, `na` tells of it, `rs` asks for routers;
                           `ra`, `redirect`, `mld`, `dhcp6`, `dhcp6-server` send such a message; src= target= lla= hops=
                           frag= forge it
    vm1 asks tcp/80        the services of its host, at 169.254.169.254; `asks6` at fe80::a9fe:a9fe
    … mac=M ip=I from=67   with a forged sender: MAC, address, l4 port
    … to=M                 sent to that MAC, whatever ARP would say
    … tag=20 inner=30      under another VLAN tag, with one more below
    … size=1500 ttl=1      an IP packet of so many bytes, with that time to live
    … frag=1               the first fragment of a datagram
    … probe=yes            marked as a probe is
    … way=hosts            through whose switches it went
    … seen=mac             with which source MAC it came
    … local=vm2            a local IP that means vm2
    … counted=there        which meters it passed, and which mark it got; `back` those of the answer

`delivered` means: to whom it was meant for, nobody else, and the answer came back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from suimon.model.view import PortForwarding
from suimon.pipeline.flow import Flow, Group, Meter
from suimon.pipeline.gateway import refusal
from suimon.pipeline.program import Nat, Part, Program, Shape
from tests.pipeline.cloud import Cloud
from tests.pipeline.questions import Answer, Questioner
from tests.pipeline.underlay import Hypervisor, Underlay

FOLDER = Path(__file__).parent.parent / "scenarios"
_HEADER = re.compile(r"^-- (world|step|flows|asks)(?: (.+))? --$")


class Section(msgspec.Struct, frozen=True):
    kind: str
    argument: str
    lines: tuple[str, ...]


class Asked(msgspec.Struct, frozen=True):
    """A question with its answer, and what was in the hosts' switches when it was put."""

    step: str
    question: str
    answer: Answer
    installed: dict[str, tuple[Flow | Group | Meter, ...]]


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))


def read(text: str) -> Iterator[Section]:
    header: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if found := _HEADER.match(line):
            if header:
                yield Section(header[1], header[2] or "", tuple(lines))
            header, lines = found, []
        elif header:
            lines.append(line)
        assert header or not line.startswith("-- "), f"not a section: {line}"
    if header:
        yield Section(header[1], header[2] or "", tuple(lines))


def replay(text: str, notice: Callable[[Asked], None] = lambda asked: None) -> str:
    """The same file as it would be if everything that came out were what was expected."""
    sections = list(read(text))
    comment = text.partition("\n-- ")[0]
    play = _Play()
    written = [comment]
    for section in sections:
        written.append(f"-- {f'{section.kind} {section.argument}'.strip()} --")
        body = [line for line in section.lines if line.strip()]
        match section.kind:
            case "world" | "step":
                play.change(section.argument or "the world", body)
            case "flows":
                body = play.difference(section.argument)
            case "asks":
                body = [_asked(line, play, notice) for line in body]
        written += [*body, ""]
    return "\n".join(written)


def _asked(line: str, play: _Play, notice: Callable[[Asked], None]) -> str:
    if line.startswith("#"):
        return line
    question = line.partition(": ")[0].removesuffix(":")
    answer = play.questioner.ask(question)
    installed = {name: hypervisor.installed for name, hypervisor in play.underlay.hypervisors.items()}
    notice(Asked(play.step, question, answer, installed))
    return f"{question}: {answer.text}"


class _Play:
    """The state of a scenario while it runs."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.step = ""
        self._before: dict[str, tuple[Program, ...]] = {}

    def change(self, step: str, lines: Iterable[str]) -> None:
        self.step = step
        self._late: list[str] = []
        if self.step == "the world":
            for line in lines:
                if not line.startswith("#"):
                    self.cloud.read(line)
            self.underlay = Underlay(self.cloud)
            self.questioner = Questioner(self.underlay)
        else:
            self._before = {name: tuple(host.programs.values()) for name, host in self.underlay.hypervisors.items()}
            for line in lines:
                self._change(line.split(maxsplit=1))
        self.underlay.follow(self._late)
        for hypervisor in self.underlay.hypervisors.values():
            _hold_true(hypervisor)

    def _change(self, words: list[str]) -> None:
        verb, rest = words
        match verb, rest.split():
            case "set", _:
                self.cloud.read(rest)
            case "delete", [kind, name]:
                self.cloud.delete(kind, name)
            case "plug", [port, ofport]:
                self.cloud.ofports[port] = int(ofport)
            case "unplug", [port]:
                del self.cloud.ofports[port]
            case "learn", [network, ip, mac]:
                self.underlay.learn(network, ip, mac)
            case "away", [*vteps]:
                self.underlay.judge(set(vteps), set())
            case "refused", [host, what, *away]:
                self.underlay.judge(set(away), {(host, what if ":" in what else refusal(what))})
            case "lapse", [now_s]:
                self.underlay.lapse(float(now_s))
            case "arrive", [port]:
                self.underlay.arrive(port)
            case "late", hosts:
                self._late = hosts
            case "expect", [place, *looks]:
                self.underlay.expect(place, looks[0] if looks else "")
            case "forget", [network, ip]:
                self.underlay.learn(network, ip, None)
            case _:
                raise AssertionError(f"no such step: {' '.join(words)}")

    def difference(self, host: str) -> list[str]:
        """What the last step took from a host's switch and what it brought, in the order of the stages."""
        before = _lines(self._before.get(host, ()))
        after = _lines(self.underlay.hypervisors[host].programs.values())
        changed = [(place, "-") for place in before.keys() - after.keys()]
        changed += [(place, "+") for place in after.keys() - before.keys()]
        return [f"{sign} {place[-1]}" for place, sign in sorted(changed)] or ["(nothing)"]


def _lines(programs: Iterable[Program]) -> dict[tuple[int, int, str], None]:
    lines: dict[tuple[int, int, str], None] = {}
    for program in programs:
        for thing in (*program.flows, *program.groups, *program.meters, *program.shapes, *program.nats):
            lines[_place(thing)] = None
    return lines


def _place(thing: Part) -> tuple[int, int, str]:
    match thing:
        case Flow(key=key):
            return key.stage, -key.priority, str(thing)
        case Group():
            return 256, 0, str(thing)
        case Meter(meter_id, owner, rate, burst, packets):
            unit = "packets" if packets else "kbit"
            return 257, 0, f"meter={meter_id} rate={rate} {unit}/s burst={burst} {unit} owner={owner}"
        case Shape(port_id, rate_kbps, burst_kbits):
            return 258, 0, f"shape rate={rate_kbps} kbit/s burst={burst_kbits} kbit owner=port/{port_id}"
        case Nat():
            source = f"{thing.source} but {','.join(thing.plain) or 'nobody'}" if thing.source else "nobody"
            ways = "".join(f" {_way(each)}" for each in thing.forwardings)
            leads = f"inside={','.join(thing.inside)} outside={','.join(thing.outside)}"
            text = f"addresses={','.join(thing.addresses)} {leads} snat={source}{ways}"
            return 259, 0, f"namespace {text} owner=router/{thing.router_id}"
    raise AssertionError(thing)


def _way(one: PortForwarding) -> str:
    outer, inner = f"{one.address}:{one.first}-{one.last}", f"{one.ip}:{one.inner_first}-{one.inner_last}"
    return f"{one.protocol}/{outer}->{inner}"


def _hold_true(hypervisor: Hypervisor) -> None:
    """What must hold after every step: incremental equals full, and no two flows have one key."""
    full = {owner: hypervisor.world.compile(owner) for owner in hypervisor.world.owners()}
    held = {owner: program for owner, program in hypervisor.programs.items() if program != Program()}
    assert held == {owner: program for owner, program in full.items() if program != Program()}
    keys = [flow.key for flow in hypervisor.flows]
    assert len(keys) == len(set(keys)), sorted(str(flow) for flow in hypervisor.flows if keys.count(flow.key) > 1)
