"""Namespaces of routers on their gateway hosts: the kernel routes there, and nftables rewrites addresses.

Each has one device, `nat`, whose other end is on br-int and marked as the router's. The router itself is on that link
with two MACs: by one it leads to its networks, by the other to the external one; what goes where is the namespace's
routing table, so that two tenants with the same addresses never meet. Nothing listens in it.

Open vSwitch 3.1 aborts on ct(commit,nat) when a TCP port is reused, hence this (docs/decisions/0016).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from random import random
from typing import Final, Never

import msgspec

from suimon import reconcile
from suimon.dataplane import kept
from suimon.dataplane.inside import apart, enter
from suimon.dataplane.layout import WantedPort, insertion, port_removal
from suimon.dataplane.ovsdb import TransactionRefused
from suimon.dataplane.switch import Switch
from suimon.model.owner import Owner
from suimon.model.view import PortForwarding
from suimon.pipeline.gateway import INSIDE, NAMESPACE, OUTSIDE, device
from suimon.pipeline.program import Nat
from suimon.reconcile import Changes, Failure, Reconciler

_NAMESPACES: Final = Path("/run/netns")
_LINK: Final = "nat"
_ROUTERS: Final = {INSIDE: "169.254.255.1", OUTSIDE: "169.254.255.2"}
"""Next hops on the link, which nobody ever sees: they stand for the MACs."""
_MTU: Final = 9000
_SHUT: Final = ("rp_filter", "send_redirects", "accept_source_route", "accept_redirects")
_SETTINGS: Final = (
    "net.ipv4.ip_forward=1",
    # What comes in by the one device leaves by it; nobody is to be told of a shorter way, and nobody outside says by
    # which way it goes on inside (RFC 7126, 4.3). Else a new namespace is set as the host's own is.
    *(f"net.ipv4.conf.{scope}.{name}=0" for scope in ("all", _LINK) for name in _SHUT),
    # A connection that another host held until now goes on here if it can: its windows are unknown.
    "net.netfilter.nf_conntrack_tcp_be_liberal=1",
    "net.ipv6.conf.all.disable_ipv6=1",
)
_OWN_RULES: Final = {0: "local", 32766: "main", 32767: "default"}
"""By priority, the tables that the rules name which each namespace begins with (ip-rule(8))."""
_AND: Final = "+"
_TABLE: Final = "suimon"
_PROTOCOLS: Final = {6: "tcp", 17: "udp"}


class Config(msgspec.Struct, frozen=True):
    """A namespace is called `prefix` and the name of its device on `bridge`."""

    prefix: str = "suimon-"
    bridge: str = "br-int"
    timeout_s: float = 10.0


class NatTarget:
    """`reconcile.Target` of namespaces by their device, as digests of `nats`, which it reads itself, by device, too.

    The device's alias has that digest, and one of all that the namespace had once it was made (`_have`).
    """

    def __init__(self, config: Config, switch: Switch, nats: Mapping[str, Nat]) -> None:
        self._config = config
        self._switch = switch
        self._nats = nats

    async def observe(self) -> dict[str, str]:
        """Also what is there by half or isn't as it was made, which no digest matches. Raises OSError."""
        await self._switch.ready()
        prefix = self._config.prefix + DEVICES
        spaces = {name.removeprefix(self._config.prefix) for name in _namespaces() if name.startswith(prefix)}
        plugged = set(self._plugged())
        made = await asyncio.to_thread(kept.aliases)
        had = {name: made[name].partition(_AND) for name in spaces & plugged & made.keys()}
        has = await self._have(had)
        whole = {name: of for name, (of, _, was) in had.items() if was == has.get(name)}
        return {name: whole.get(name, "") for name in spaces | plugged}

    async def apply(self, changes: Changes[str, str]) -> dict[str, Failure]:
        failed: dict[str, Failure] = {}
        for name in changes.keys:
            nat = self._nats.get(name)
            try:
                await (self._make(name, nat) if nat and name in changes.set else self._remove(name))
            except (OSError, TransactionRefused) as error:
                failed[name] = Failure(f"namespace {self._config.prefix}{name}: {str(error) or type(error).__name__}")
        return failed

    async def _make(self, name: str, nat: Nat) -> None:
        """What is there stays, and with it its connections. The digest is written last."""
        space = self._config.prefix + name
        if space not in _namespaces():
            # A device that is there leads to a namespace of another name, or to one that nobody can find any more.
            await self._run("ip", "link", "delete", name, check=False)
            await self._run("ip", "netns", "add", space)
        if not await self._run("ip", "-brief", "link", "show", "dev", name, check=False):
            await self._unplug(name)  # The switch would go on with the socket of the device before it.
            ends = ("mtu", str(_MTU), "type", "veth", "peer", "name", _LINK, "mtu", str(_MTU))
            await self._run("ip", "link", "add", name, *ends, "address", NAMESPACE, "netns", space)
        inside = ("ip", "netns", "exec", space)
        # In the userspace datapath nobody fills in a checksum that was left to the hardware.
        await self._run("ethtool", "-K", name, "tx", "off")
        await self._run(*inside, "ethtool", "-K", _LINK, "tx", "off")
        link = await self._run("ip", "-n", space, "-brief", "link", "show", "dev", _LINK)
        await self._run("ip", "-n", space, "-batch", "-", stdin=_up(named=NAMESPACE in link.split()))
        await self._run(*inside, "nft", "-f", "-", stdin=ruleset(nat))
        await self._run(*inside, "sysctl", "-q", "-w", *_SETTINGS)
        await self._run(
            "ip", "-n", space, "-batch", "-", stdin="\n".join([*await self._stale(space, nat), *_ways(nat)])
        )
        await self._run("ip", "link", "set", name, "up")
        if name not in self._plugged():
            port = WantedPort(self._config.bridge, name)
            await self._switch.transact(list(insertion(port, Owner("router", nat.router_id))))
        has = (await self._have([name])).get(name, "")
        await self._run("ip", "link", "set", name, "alias", f"{digest(nat)}{_AND}{has}")

    async def _have(self, names: Iterable[str]) -> dict[str, str]:
        """A digest of what each namespace has in the kernel now. One that is gone has none. Raises OSError."""
        spaces = {name: _NAMESPACES / f"{self._config.prefix}{name}" for name in names}
        return await asyncio.to_thread(apart, lambda: dict(_seen(spaces))) if spaces else {}

    async def _remove(self, name: str) -> None:
        await self._unplug(name)
        if self._config.prefix + name in _namespaces():
            await self._run("ip", "netns", "delete", self._config.prefix + name)

    async def _unplug(self, name: str) -> None:
        mirror = self._switch.mirror
        bridge, port = mirror.bridge(self._config.bridge), mirror.port(name)
        if bridge and port:
            await self._switch.transact([port_removal(bridge, port)])

    async def _stale(self, space: str, nat: Nat) -> list[str]:
        """Lines that take away addresses, routes and rules from before, or somebody else's, and add rules that lack."""
        shown = msgspec.json.decode(await self._run("ip", "-n", space, "-json", "address", "show", "dev", _LINK))
        had = {each["local"] for link in shown for each in link.get("addr_info", ()) if each["family"] == "inet"}
        routes = msgspec.json.decode(await self._run("ip", "-n", space, "-json", "route", "show") or "[]")
        led = {route["dst"].removesuffix("/32") for route in routes if route["dst"] != "default"}
        rules = msgspec.json.decode(await self._run("ip", "-n", space, "-json", "rule", "show") or "[]")
        lines = [f"rule delete priority {each['priority']}" for each in rules if each["priority"] not in _OWN_RULES]
        lacking = sorted(_OWN_RULES.keys() - {each["priority"] for each in rules})
        lines += [f"rule add priority {each} table {_OWN_RULES[each]} protocol kernel" for each in lacking]
        lines += [f"address delete {address}/32 dev {_LINK}" for address in sorted(had - set(nat.addresses))]
        leads = {each.removesuffix("/32") for each in (*nat.inside, *nat.outside)}
        return lines + [f"route delete {cidr}" for cidr in sorted(led - leads)]

    def _plugged(self) -> Iterator[str]:
        bridge = self._switch.mirror.bridge(self._config.bridge)
        for port, _ in self._switch.mirror.interfaces_on(bridge) if bridge else ():
            if port.owner.startswith("router/"):
                yield port.name

    async def _run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """What a command says. Raises OSError when it fails or takes too long."""
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        given = pipe if stdin else nothing
        running = await asyncio.create_subprocess_exec(*command, stdin=given, stdout=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(self._config.timeout_s):
                said, complaint = await running.communicate(stdin.encode() if stdin else None)
        except TimeoutError:
            raise OSError(f"{' '.join(command)}: not done within {self._config.timeout_s:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                running.kill()
        if running.returncode and check:
            raise OSError(f"{' '.join(command)}: {complaint.decode(errors='replace').strip()}")
        return said.decode()


DEVICES: Final = device("")
"""How the names of all of them begin."""

Told = Mapping[Owner, Failure]


class Namespaces:
    """Keeps the namespaces equal to `nats`, by device, as long as `run` lives; `known` is set at each new state of it.

    `told` hears after each round what could not be made so. It is tried again with back-off.
    """

    def __init__(
        self,
        config: Config,
        switch: Switch,
        nats: Mapping[str, Nat],
        known: asyncio.Event,
        told: Callable[[Told], None],
    ) -> None:
        self._nats, self._known, self._told = nats, known, told
        self._reconciler: Reconciler[Owner, str, str] = Reconciler(
            reconcile.Config(), NatTarget(config, switch, nats), random
        )
        self._timeout_s = config.timeout_s
        self._wanted: dict[str, str] = {}
        self._observed = False

    async def run(self) -> Never:
        """Nothing is touched before `known` was set once: until then nobody knows what is wanted. Raises OSError."""
        await self._known.wait()
        async with asyncio.TaskGroup() as tasks:
            running = None
            while True:
                self._known.clear()
                self._want({name: digest(nat) for name, nat in self._nats.items()})
                running = running or tasks.create_task(self._reconciler.run(self._note_round))
                await self._known.wait()

    async def check(self) -> list[tuple[reconcile.Drift[Owner, str], str]]:
        """What was not as the last round left it, and why it isn't put right; "" if it is. Nothing before the first
        round. Raises OSError.
        """
        found = await self._reconciler.check() if self._observed else []
        late = Failure("")
        if found:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._reconciler.settled()
            except TimeoutError:
                late = Failure(f"it was not done within {self._timeout_s:g} s")
        return [(each, self._reconciler.failures.get(each.owner, late).reason) for each in found]

    def _want(self, now: dict[str, str]) -> None:
        for name in self._wanted.keys() | now.keys():
            if self._wanted.get(name) != now.get(name):
                self._reconciler.want(Owner("namespace", name), {name: now[name]} if name in now else {})
        self._wanted = now

    def _note_round(self) -> None:
        self._observed = True
        self._told({owner: failure for owner, failure in self._reconciler.failures.items() if owner})


def digest(nat: Nat) -> str:
    """What tells one setup from another."""
    return _digest((_VERSION, nat))


def _digest(what: object) -> str:
    return hashlib.blake2b(msgspec.json.encode(what), digest_size=12).hexdigest()


_VERSION: Final = 2
"""Grows when what is made of a `Nat` changes, so that it is made again."""


def ruleset(nat: Nat) -> str:
    """The namespace's nftables rules, put in place of those before at once (nft(8)); connections stay."""
    inwards = f"rt ip nexthop {_ROUTERS[INSIDE]}"
    leaving = [f"{inwards} accept"]
    if nat.forwardings:
        # From one of the router's networks by the external address back to one: the answer has to come here, too.
        leaving.insert(0, f"{inwards} meta mark 1 ct status dnat snat to {nat.addresses[0]}")
    passing = []
    if nat.source:
        plain = f"ip daddr != {_set(nat.plain)} " if nat.plain else ""
        leaving += [f"ip saddr {_set(nat.plain)} accept"] if nat.plain else []
        leaving.append(f"snat to {nat.source}")
        passing = ["ct state invalid drop", f"meta mark 2 ct state new ct status & dnat != dnat {plain}drop"]
    chains = {
        "came": ("filter hook prerouting priority -150", _marks()),
        "arriving": (
            "nat hook prerouting priority -100",
            [line for each in nat.forwardings for line in _forwarding(each)],
        ),
        "passing": ("filter hook forward priority 0", passing),
        "leaving": ("nat hook postrouting priority 100", leaving),
        # Pings to its addresses are answered; no reset is ever sent for a connection that another host knows.
        "asking": ("filter hook input priority 0; policy drop", ["icmp type echo-request accept"]),
    }
    body = "".join(_chain(name, kind, rules) for name, (kind, rules) in chains.items())
    return f"table ip {_TABLE} {{}}\ndelete table ip {_TABLE}\ntable ip {_TABLE} {{\n{body}}}\n"


def _chain(name: str, kind: str, rules: list[str]) -> str:
    lines = "".join(f"  {rule}\n" for rule in rules)
    return f" chain {name} {{ type {kind};\n{lines} }}\n"


def _marks() -> list[str]:
    return [f"ether saddr {mac} meta mark set {number}" for number, mac in ((1, INSIDE), (2, OUTSIDE))]


def _forwarding(one: PortForwarding) -> Iterator[str]:
    protocol = _PROTOCOLS[one.protocol]
    where = f"ip daddr {IPv4Address(one.address)}"
    inner = str(IPv4Address(one.ip))
    if (one.first, one.last) == (one.inner_first, one.inner_last):
        yield f"{where} {protocol} dport {one.first}-{one.last} dnat to {inner}"
    elif one.inner_first == one.inner_last:
        yield f"{where} {protocol} dport {one.first}-{one.last} dnat to {inner}:{one.inner_first}"
    else:
        for shift in range(one.last - one.first + 1):
            yield f"{where} {protocol} dport {one.first + shift} dnat to {inner}:{one.inner_first + shift}"


def _set(cidrs: tuple[str, ...]) -> str:
    return f"{{ {', '.join(cidrs)} }}"


def _up(*, named: bool) -> str:
    """`named`: it has its MAC. To set it, even to the same, makes the kernel forget its neighbours for a moment."""
    address = "" if named else f"address {NAMESPACE} "
    lines = ["link set lo up", f"link set {_LINK} {address}mtu {_MTU} up"]
    lines += [f"neighbour replace {ip} lladdr {mac} nud permanent dev {_LINK}" for mac, ip in _ROUTERS.items()]
    return "\n".join(lines)


def _ways(nat: Nat) -> list[str]:
    lines = [f"address replace {address}/32 dev {_LINK}" for address in nat.addresses]
    ways = {"0.0.0.0/0": OUTSIDE, **dict.fromkeys(nat.inside, INSIDE), **dict.fromkeys(nat.outside, OUTSIDE)}
    for cidr, mac in ways.items():
        mtu = f" mtu {nat.mtu}" if mac == OUTSIDE else ""
        lines.append(f"route replace {cidr} via {_ROUTERS[mac]} dev {_LINK} onlink{mtu}")
    return lines


def _seen(spaces: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Goes from one namespace to the next: addresses, routes, rules, neighbours, settings and nftables of each."""
    names = [each.partition("=")[0] for each in _SETTINGS]
    for name, file in spaces.items():
        with suppress(FileNotFoundError):
            namespace = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                enter(namespace)
            finally:
                os.close(namespace)
            yield name, _digest((kept.routing(), kept.settings(names), kept.table(_TABLE)))


def _namespaces() -> set[str]:
    return {entry.name for entry in _NAMESPACES.iterdir()} if _NAMESPACES.is_dir() else set()
