"""A cloud and twenty clauses about it, and a stream of changes of which many break or mend something. From a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

Row = tuple[str | int, ...]

COLUMNS = {
    "networks": ("id", "project", "shared", "kind"),
    "ports": ("id", "network", "server", "project", "mac", "status"),
    "bindings": ("port", "group"),
    "rules": ("id", "group", "direction", "protocol", "low", "high", "remote"),
    "servers": ("id", "project", "host", "status"),
    "tags": ("server", "tag"),
    "members": ("project", "circle"),
    "allowed": ("low",),
    "banned": ("project",),
}
SOURCE = "cloud"
ANYWHERE = "0.0.0.0/0"

DERIVED = """
friends(a, b) :- cloud:members(a, c), cloud:members(b, c)
on(s, n) :- cloud:ports(network=n, server=s)
public(n) :- cloud:networks(id=n, kind="public")
exposed(s) :- on(s, n), public(n)
open(p, t, low, high) :-
  cloud:bindings(p, g),
  cloud:rules(group=g, direction="in", protocol=t, low=low, high=high, remote="0.0.0.0/0")
card(s) :- cloud:tags(s, "pci")
guarded(p) :- cloud:bindings(port=p)
wired(s) :- cloud:ports(server=s)
network(n) :- cloud:networks(id=n)
server(s) :- cloud:servers(id=s)
"""
VIOLATIONS = """
card_open(s, low) :- card(s), exposed(s), cloud:ports(id=p, server=s), open(p, t, low, h), not cloud:allowed(low)
foreign(s, n) :- public(n),
  cloud:ports(network=n, server=s), cloud:servers(id=s, project=a), cloud:networks(id=n, project=b), not friends(a, b)
mail(p) :- open(p, "tcp", low, high), builtin:lteq(low, 25), builtin:gteq(high, 25)
bare(p) :- cloud:ports(id=p), not guarded(p)
twins(a, b) :- cloud:ports(id=a, mac=m), cloud:ports(id=b, mac=m), builtin:lt(a, b)
dangling(p, n) :- cloud:ports(id=p, network=n), not network(n)
ghost(p, s) :- cloud:ports(id=p, server=s), not server(s)
outlaw(s) :- cloud:servers(id=s, project=q, status="UP"), cloud:banned(q)
stranger(p) :- cloud:ports(id=p, network=n, server=s, project=a),
  cloud:servers(id=s, project=b), not builtin:equal(a, b), cloud:networks(id=n, shared="no")
lonely(s) :- cloud:servers(id=s, status="UP"), not wired(s)
"""
NAMES = [line.split("(")[0] for line in VIOLATIONS.splitlines() if ":-" in line]


class World:
    """`rows` of each table, at `scale` 1: 50,000 ports, 100,000 rules, 20,000 servers."""

    def __init__(self, scale: float = 1.0, seed: int = 6) -> None:
        self._chance = random.Random(seed)
        self._scale = scale
        self._new = 0
        self.rows: dict[str, list[Row]] = {}
        self._projects = [f"project-{i}" for i in range(self._size(10_000))]
        self._owners()
        self._ports()
        self._groups()

    def _size(self, full: int) -> int:
        return max(2, int(full * self._scale))

    def _owners(self) -> None:
        some = self._chance
        kinds = ["public", *["vlan"] * 19]
        self.rows["networks"] = [
            (f"network-{i}", some.choice(self._projects), some.choice(["yes", "no"]), some.choice(kinds))
            for i in range(self._size(2000))
        ]
        self.rows["servers"] = [
            (f"server-{i}", some.choice(self._projects), f"host-{i % 500}", "UP" if some.random() < 0.9 else "DOWN")
            for i in range(self._size(20_000))
        ]
        self.rows["tags"] = [(f"server-{i}", "pci" if i % 10 == 0 else "lab") for i in range(0, self._size(20_000), 3)]
        circles = self._size(5000)
        members = {
            (some.choice(self._projects), f"circle-{some.randrange(circles)}") for _ in range(self._size(50_000))
        }
        self.rows["members"] = sorted(members)
        self.rows["allowed"] = [(80,), (443,)]
        self.rows["banned"] = [(p,) for p in some.sample(self._projects, self._size(50))]

    def _ports(self) -> None:
        some, ports = self._chance, []
        for i in range(self._size(50_000)):
            server = some.choice(self.rows["servers"])
            network = some.choice(self.rows["networks"])[0] if some.random() > 0.0005 else f"gone-{i}"
            owner = server[1] if some.random() > 0.002 else some.choice(self._projects)
            machine = server[0] if some.random() > 0.0005 else f"ghost-{i}"
            ports.append(
                (f"port-{i}", network, machine, owner, f"mac-{i if some.random() > 0.001 else i // 2}", "ACTIVE")
            )
        self.rows["ports"] = ports

    def _groups(self) -> None:
        some, groups = self._chance, self._size(10_000)
        self.rows["bindings"] = [
            (str(port[0]), f"group-{some.randrange(groups)}") for port in self.rows["ports"] if some.random() > 0.002
        ]
        self.rows["rules"] = []
        for i in range(self._size(100_000)):
            low = some.choice([22, 80, 443, 8080, 1024 + some.randrange(60_000)]) if some.random() > 0.001 else 25
            high = low if some.random() < 0.9 else low + 3
            remote = ANYWHERE if some.random() < 0.05 else f"10.{some.randrange(256)}.0.0/16"
            way, protocol = some.choice(["in", "out"]), some.choice(["tcp", "udp"])
            self.rows["rules"].append(
                (f"rule-{i}", f"group-{some.randrange(groups)}", way, protocol, low, high, remote)
            )

    def changes(self, count: int) -> list[tuple[str, Row, bool]]:
        """(table, row, whether it comes), and `rows` as they are afterwards. Half put rows, half drop some."""
        return list(self._changes(count))

    def _changes(self, count: int) -> Iterator[tuple[str, Row, bool]]:
        there = {table: set(rows) for table, rows in self.rows.items()}
        for number in range(count):
            table = self._chance.choice(["ports", "bindings", "rules", "servers", "members", "networks"])
            rows = self.rows[table]
            if number % 2:
                at = self._chance.randrange(len(rows))
                rows[at], rows[-1] = rows[-1], rows[at]
                there[table].discard(rows[-1])
                yield table, rows.pop(), False
                continue
            row = self._another(table)
            if row not in there[table]:
                there[table].add(row)
                rows.append(row)
                yield table, row, True

    def _another(self, table: str) -> Row:
        some, self._new = self._chance, self._new + 1
        server = some.choice(self.rows["servers"])
        group = f"group-{some.randrange(self._size(10_000))}"
        match table:
            case "ports":
                network = some.choice(self.rows["networks"])[0]
                return (f"new-port-{self._new}", network, server[0], server[1], f"new-mac-{self._new}", "ACTIVE")
            case "bindings":
                return (some.choice(self.rows["ports"][-1000:])[0], group)
            case "rules":
                low = some.choice([22, 25])
                return (f"new-rule-{self._new}", group, "in", "tcp", low, low, ANYWHERE)
            case "servers":
                return (f"new-server-{self._new}", server[1], "host-1", "UP")
            case "members":
                return (server[1], f"circle-{some.randrange(self._size(5000))}")
        return (f"new-network-{self._new}", server[1], "no", some.choice(["public", "vlan"]))
