"""The most connections that the switch remembers in a conntrack zone: a guest fills its own, and no neighbour's.

Asked of ovs-vswitchd by its control socket, since the database has them (CT_Zone, limit) only from Open vSwitch 3.3 on.
The userspace datapath forgets them with its daemon, the kernel's keeps them. 3.1's default limit is no way: in its
userspace datapath all zones without a limit of their own share it (`zone_limit_lookup_or_default` in lib/conntrack.c).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from suimon.dataplane.unixctl import CommandRefused, ControlSocket, vswitchd
from suimon.model.findings import Direction
from suimon.reconcile import Changes, Failure

_AT_ONCE: Final = 200
"""The kernel tells limits in one message of a page or less (`ovs_ct_limit_cmd_get`), 12 bytes each."""
_PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
_OPENED: Final = re.compile(r"^(\w+),orig=\(src=([^,]+),dst=([^,)]+)(?:,(?:sport|id)=(\d+))?(?:,dport=(\d+))?", re.M)
_TOLD: Final = re.compile(r"^(?:default|zone=(\d+),)\s?limit=(\d+)(?:,count=(\d+))?$", re.M)


class Config(msgspec.Struct, frozen=True):
    """`most_connections` is for each guest's zone. A kernel's table (nf_conntrack_max) is often no larger than 262,144:
    this leaves room for others in it when three guests fill theirs.
    """

    rundir: Path = Path("/var/run/openvswitch")
    most_connections: int = 65_536


class Filled(msgspec.Struct, frozen=True):
    """How many connections a zone has since it was limited, and the most that it may have."""

    connections: int
    most: int


class Tracked(NamedTuple):
    """A connection as its first packet had it: the IP protocol (0: one that has no name here), and who opened it."""

    protocol: int
    source: str
    destination: str
    source_port: int = 0
    destination_port: int = 0

    def peer(self, direction: Direction) -> str:
        """The other side of the guest's that sent the first packet, or got it."""
        return self.destination if direction == "egress" else self.source


def read_tracked(text: str) -> frozenset[Tracked]:
    """The connections of a zone (`dpctl/dump-conntrack`); pings to one address are one each by their id."""
    return frozenset(
        Tracked(_PROTOCOLS.get(name, 0), source, destination, int(source_port or 0), int(destination_port or 0))
        for name, source, destination, source_port, destination_port in _OPENED.findall(text)
    )


def read_limits(text: str) -> tuple[int, dict[int, Filled]]:
    """The default limit, and the zones asked for (`dpctl/ct-get-limits` in ovs-dpctl(8))."""
    default, told = 0, {}
    for zone, limit, count in _TOLD.findall(text):
        if zone:
            told[int(zone)] = Filled(int(count), int(limit))
        else:
            default = int(limit)
    return default, told


class ZoneLimits:
    """`reconcile.Target` of zones on a datapath (`system` or `netdev`): whether their limit is as configured.

    `ours` says which zones are guests' at all; no others are looked at. A limit that is set again forgets nothing.
    """

    def __init__(self, config: Config, datapath: Callable[[], str], ours: Callable[[], Iterable[int]]) -> None:
        self._config = config
        self._datapath = datapath
        self._ours = ours
        self._set: set[int] = set()
        self._control = ControlSocket(lambda: vswitchd(config.rundir))

    def close(self) -> None:
        """Give up the connection to Open vSwitch."""
        self._control.close()

    async def observe(self) -> dict[int, bool]:
        """Nothing, where the datapath knows no limits: `apply` says why. Raises what `ControlSocket.command` does."""
        found: dict[int, bool] = {}
        try:
            for zones in _batched(self._ours()):
                default, told = read_limits(await self._ask("get", f"zone={','.join(map(str, zones))}"))
                for zone, filled in told.items():
                    # What no limit of its own was given is told with the default one, which is 0 for none.
                    if filled.most and (filled.most != default or zone in self._set):
                        found[zone] = filled.most == self._config.most_connections
        except CommandRefused:
            return {}
        return found

    async def apply(self, changes: Changes[int, bool]) -> dict[int, Failure]:
        failed: dict[int, Failure] = {}
        for zones in _batched(changes.set):
            failed |= await self._tell(
                "set", zones, *(f"zone={n},limit={self._config.most_connections}" for n in zones)
            )
            self._set.update(zones)
        for zones in _batched(changes.delete):
            failed |= await self._tell("del", zones, f"zone={','.join(map(str, zones))}")
            self._set.difference_update(zones)
        return failed

    async def filled(self, zone: int) -> Filled | None:
        """None where the datapath knows no limits. Raises what `ControlSocket.command` does else."""
        try:
            return read_limits(await self._ask("get", f"zone={zone}"))[1].get(zone)
        except CommandRefused:
            return None

    async def tracked(self, zone: int) -> frozenset[Tracked]:
        """All connections of a zone. Raises what `ControlSocket.command` does."""
        kind = self._datapath()
        return read_tracked(await self._control.command("dpctl/dump-conntrack", f"{kind}@ovs-{kind}", f"zone={zone}"))

    async def _tell(self, act: str, zones: Iterable[int], *arguments: str) -> dict[int, Failure]:
        try:
            await self._ask(act, *arguments)
        except CommandRefused as error:
            return dict.fromkeys(zones, Failure(f"limit of connections: {error}"))
        return {}

    async def _ask(self, act: str, *arguments: str) -> str:
        kind = self._datapath()
        return await self._control.command(f"dpctl/ct-{act}-limits", f"{kind}@ovs-{kind}", *arguments)


def _batched(zones: Iterable[int]) -> Iterator[list[int]]:
    left = sorted(zones)
    for start in range(0, len(left), _AT_ONCE):
        yield left[start : start + _AT_ONCE]
