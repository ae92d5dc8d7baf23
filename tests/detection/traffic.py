"""Labelled traffic: what guests do, and the records that an exporter makes of it.

A guest is a number; its peers are numbers too. Times are seconds after `EPOCH`. With `sampling` 1 records are those of
NetFlow: each direction of a connection one record, cut every `active_s`, with the flags of all its packets. Otherwise
they are those of sFlow: single packets, 1 of N by chance.
"""

from typing import Any, NamedTuple

import numpy as np

from suimon.model.records import FROM_GUEST, TO_GUEST, Batch, batch_of, some

EPOCH = 1_790_000_000.0
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP, UDP, ICMP = 6, 17, 1
CLIENT, SERVER = (SYN, ACK | PSH, ACK | FIN), (SYN | ACK, ACK | PSH, ACK | FIN)
BARE, REFUSED, NONE = (SYN,) * 3, (RST | ACK,) * 3, (0,) * 3
BACK = (SYN | ACK,) * 3

FLOW = np.dtype(
    [(n, "f8") for n in ("begun", "ended", "packets", "size")]
    + [(n, "i8") for n in ("guest", "out", "protocol", "own_l4", "peer", "peer_l4", "first", "middle", "last")]
)
Flows = np.ndarray[Any, np.dtype[np.void]]


class Tag(NamedTuple):
    id: str
    project_id: str | None


def tags(count: int) -> list[Tag]:
    return [Tag(f"port-{number}", f"project-{number % 7}") for number in range(count)]


def flows(guest: int, out: bool, protocol: int, flags: tuple[int, int, int] = NONE, **columns: Any) -> Flows:
    """One direction of conversations. Columns: own_l4, peer, peer_l4, begun, lasts (s), packets, size (bytes)."""
    given = {"lasts": 0.0, "packets": 1, "size": 60, "own_l4": 0, "peer_l4": 0, **columns}
    length = max(np.size(each) for each in given.values())
    made: Flows = np.zeros(length, FLOW)
    made["guest"], made["out"], made["protocol"] = guest, out, protocol
    made["first"], made["middle"], made["last"] = flags
    lasts = given.pop("lasts")
    for name, value in given.items():
        made[name] = value
    made["ended"] = made["begun"] + lasts
    return made


def connections(guest: int, client: bool, **columns: Any) -> Flows:
    """Both directions of whole TCP connections that the guest opens as a client, or is asked for."""
    theirs = {**columns, "size": columns.get("back_size", 400)}
    theirs.pop("back_size", None)
    columns.pop("back_size", None)
    return np.concatenate(
        (
            flows(guest, True, TCP, CLIENT if client else SERVER, **columns),
            flows(guest, False, TCP, SERVER if client else CLIENT, **theirs),
        )
    )


def records(*parts: Flows, sampling: int = 1, active_s: float = 1.0, seed: int = 1) -> Batch:
    """What the exporter tells of them."""
    told = np.concatenate(parts)
    rng = np.random.default_rng(seed)
    cut = _cut(told, active_s) if sampling == 1 else _sampled(told, sampling, rng)
    return _batch(*cut, sampling)


def _cut(told: Flows, active_s: float) -> tuple[Flows, np.ndarray[Any, Any]]:
    """Pieces no longer than `active_s`, and the flags of each."""
    count = np.maximum(1, np.ceil((told["ended"] - told["begun"]) / active_s)).astype(int)
    source = np.repeat(np.arange(len(told)), count)
    nth = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
    pieces, total = told[source], count[source]
    span = (pieces["ended"] - pieces["begun"]) / total
    begun = pieces["begun"] + nth * span
    pieces["begun"], pieces["ended"] = begun, begun + span
    whole = told["packets"][source]
    pieces["packets"] = np.floor(whole * (nth + 1) / total) - np.floor(whole * nth / total)
    flags = np.where(whole > 2, pieces["middle"], 0)
    flags |= np.where(nth == 0, pieces["first"], 0) | np.where((nth == total - 1) & (whole > 1), pieces["last"], 0)
    kept = pieces["packets"] > 0
    return pieces[kept], flags[kept]


def _sampled(told: Flows, sampling: int, rng: np.random.Generator) -> tuple[Flows, np.ndarray[Any, Any]]:
    """Single packets, each taken with the same chance."""
    packets = told["packets"].astype(int)
    source = np.repeat(np.arange(len(told)), rng.binomial(packets, 1 / sampling))
    taken, count = told[source], packets[source]
    nth = rng.integers(0, count)
    at = taken["begun"] + (taken["ended"] - taken["begun"]) * nth / np.maximum(count - 1, 1)
    taken["begun"] = taken["ended"] = at
    taken["packets"] = 1
    flags = np.where(nth == 0, taken["first"], np.where(nth == count - 1, taken["last"], taken["middle"]))
    return taken, flags


def _batch(told: Flows, flags: np.ndarray[Any, Any], sampling: int) -> Batch:
    batch = batch_of(len(told))
    out = told["out"] == 1
    batch["begun"], batch["ended"] = EPOCH + told["begun"], EPOCH + told["ended"]
    batch["ip_version"], batch["protocol"], batch["tcp_flags"] = 4, told["protocol"], flags
    batch["direction"], batch["port"] = np.where(out, FROM_GUEST, TO_GUEST), told["guest"]
    guest, peer = 0x0A000000 + told["guest"], 0x64000000 + told["peer"]
    batch["source_low"], batch["destination_low"] = np.where(out, guest, peer), np.where(out, peer, guest)
    batch["source_port"] = np.where(out, told["own_l4"], told["peer_l4"])
    batch["destination_port"] = np.where(out, told["peer_l4"], told["own_l4"])
    batch["packets"], batch["bytes"] = told["packets"], told["packets"] * told["size"]
    batch["sampling"] = sampling
    return some(batch, np.argsort(batch["ended"], kind="stable"))


class Life:
    """What guests do from 0 to `until_s`, drawn with one seed."""

    def __init__(self, until_s: float, seed: int = 7) -> None:
        self.rng, self.until_s = np.random.default_rng(seed), until_s

    def times(self, rate: float, begin_s: float = 0.0) -> Any:
        """Moments of something that happens `rate` times a second, by chance."""
        return np.sort(self.rng.uniform(begin_s, self.until_s, int(rate * (self.until_s - begin_s))))

    def ephemeral(self, count: int) -> Any:
        return self.rng.integers(32768, 61000, count)

    def people(self, guest: int, rate: float = 3.0) -> Flows:
        """Somebody's server and browser: the web both ways, names, some mail and SSH."""
        at = self.times(rate)
        n, rng = len(at), self.rng
        peer, service = rng.integers(0, 1 << 16, n), rng.choice((443, 80, 22, 25), n, p=(0.6, 0.3, 0.08, 0.02))
        half = rng.random(n) < 0.5
        lasts, packets = rng.exponential(1.0, n), 6 + rng.integers(0, 40, n)
        asked = {"peer": peer, "begun": at, "lasts": lasts, "packets": packets, "size": 300}
        mine = {key: value[half] if np.ndim(value) else value for key, value in asked.items()}
        theirs = {key: value[~half] if np.ndim(value) else value for key, value in asked.items()}
        ports = self.ephemeral(n)
        return np.concatenate(
            (
                connections(guest, True, own_l4=ports[half], peer_l4=service[half], **mine),
                connections(guest, False, own_l4=443, peer_l4=ports[~half], **theirs),
                self.resolver(guest, rate),
            )
        )

    def resolver(self, guest: int, rate: float) -> Flows:
        """Asks name servers everywhere; most answer."""
        at = self.times(rate)
        asked = {"own_l4": self.ephemeral(len(at)), "peer_l4": 53, "peer": self.rng.integers(0, 20000, len(at))}
        back = self.rng.random(len(at)) < 0.97
        answers = {key: value[back] if np.ndim(value) else value for key, value in asked.items()}
        return np.concatenate(
            (
                flows(guest, True, UDP, begun=at, size=80, **asked),
                flows(guest, False, UDP, begun=(at + 0.03)[back], size=350, **answers),
            )
        )

    def name_server(self, guest: int, rate: float) -> Flows:
        """Is asked by many, and answers what is some times larger."""
        at = self.times(rate)
        asked = {"own_l4": 53, "peer_l4": self.ephemeral(len(at)), "peer": self.rng.integers(0, 5000, len(at))}
        return np.concatenate(
            (
                flows(guest, False, UDP, begun=at, size=80, **asked),
                flows(guest, True, UDP, begun=at + 0.001, size=350, **asked),
            )
        )

    def relay(self, guest: int, rate: float) -> Flows:
        """Gets mail from its clients and takes it to many servers."""
        at = self.times(rate)
        n = len(at)
        shape = {"lasts": 1.0, "packets": 20, "size": 500}
        out = {"own_l4": self.ephemeral(n), "peer_l4": 25, "peer": self.rng.integers(0, 3000, n)}
        got = {"own_l4": 587, "peer_l4": self.ephemeral(n), "peer": self.rng.integers(4000, 4500, n)}
        return np.concatenate(
            (
                connections(guest, False, begun=at, **got, **shape),
                connections(guest, True, begun=at + 0.2, **out, **shape),
            )
        )

    def web_server(self, guest: int, rate: float) -> Flows:
        """Short connections of very many clients."""
        at = self.times(rate)
        n = len(at)
        asked = {"own_l4": 443, "peer_l4": self.ephemeral(n), "peer": self.rng.integers(0, 1 << 18, n)}
        return connections(guest, False, begun=at, lasts=0.2, packets=8, size=900, back_size=120, **asked)

    def monitor(self, guest: int, hosts: int = 400) -> Flows:
        """Every ten seconds a ping, a web page and an SSH banner of each host."""
        made = []
        for start in np.arange(0.0, self.until_s - 1, 10.0):
            peer, at = np.arange(hosts), start + np.linspace(0, 1, hosts)
            made.append(flows(guest, True, ICMP, begun=at, peer=peer))
            made.append(flows(guest, False, ICMP, begun=at + 0.01, peer=peer))
            for service in (9100, 22):
                asked = {"own_l4": self.ephemeral(hosts), "peer_l4": service, "peer": peer}
                made.append(connections(guest, True, begun=at, lasts=0.05, packets=6, **asked))
        return np.concatenate(made)

    def speed_test(self, guest: int, kpps: float) -> Flows:
        """As fast as it goes, both ways one after the other, and acknowledged."""
        half = self.until_s / 2
        fast, acks = kpps * 1000 * half, kpps * 500 * half
        asked = {"own_l4": 50000, "peer_l4": 8080, "peer": 77, "lasts": half}
        return np.concatenate(
            [
                flows(
                    guest,
                    out,
                    TCP,
                    flags,
                    begun=begun,
                    packets=fast if sends else acks,
                    size=1400 if sends else 60,
                    **asked,
                )
                for begun in (0.0, half)
                for out, flags in ((True, CLIENT), (False, SERVER))
                for sends in (out == (begun == 0.0),)
            ]
        )
