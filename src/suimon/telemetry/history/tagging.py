"""Whose a record is: the port that sent what it tells of, and the port that it was sent to.

Open vSwitch samples a packet where it comes in, before the connection tracker is asked: a guest is known by the
interface's index, but where the packet will leave is not (docs/decisions/0046). So who receives is found by the MAC,
and behind a router by the address. Physical switches know no guest's interface: the MAC decides, then the address.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.collectors import MappedPort
from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.model.loops import Index, compiled
from suimon.model.records import FROM_GUEST, TO_GUEST, Batch, joined, numbers_of, some

Numbers = NDArray[np.int64]
Keys = NDArray[np.uint64]
_NOWHERE: Final = 0xFFFF
"""The host of exporters that are none: there whatever is one port's alone in the cloud counts."""
_OF_RECEIVER: Final = ("destination_mac", "destination_high", "destination_low")
_READ: Final = ("exporter", "input", "output", "source_mac", "source_high", "source_low", *_OF_RECEIVER)
_OF_RECORDS: Final = numbers_of(*_READ, "port", "direction")
"""As tagging.c's `records` has them."""
_Fields = Mapping[str, NDArray[Any]]
"""Of records: what decides whose they are."""
_MULTIPLIERS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_SALT: Final = int(np.random.default_rng().integers(1 << 63))
"""Tenants choose their MACs and addresses: who doesn't know it can't choose any that meet in a table, or are taken for
another's."""


class Tagger:
    """`ports` is the table that `port` of a tagged record is an index into. A tagger never changes: `after` makes
    another, where a port that is gone keeps its place until a new one takes it.
    """

    def __init__(self, ports: Iterable[MappedPort], exporters: Sequence[IPv4Address | IPv6Address]) -> None:
        self.ports: tuple[MappedPort, ...] = ()
        self.exporters = tuple(map(str, exporters))
        self._places: dict[str, int] = {}
        self._free: tuple[int, ...] = ()
        self._hosts: dict[str, int] = {}
        self._projects: dict[str, int] = {}
        self._claims: Counter[tuple[str, str]] = Counter()
        """How many ports there are by host and the address that it exports from."""
        self._host = self._ifindex = self._project = np.empty(0, np.int64)
        self._cloud: tuple[NDArray[np.int64], Numbers] | None = None
        self._seats = self._macs = self._any_mac = self._address = self._own_address = _Lookup()
        self._change((), tuple(ports))

    def after(self, gone: Iterable[str], ports: Iterable[MappedPort]) -> Tagger:
        """When those ports are no more, and these new or changed. Of all others only arrays are copied."""
        made = copy(self)
        made._change(gone, tuple(ports))
        return made

    def hearing(self, exporters: Sequence[IPv4Address | IPv6Address]) -> Tagger:
        """When those are who exports."""
        made = copy(self)
        made.exporters = tuple(map(str, exporters))
        made._know_hosts()
        return made

    @property
    def sources(self) -> frozenset[str]:
        """The addresses that hosts of the cloud export from."""
        return frozenset(address for address, _ in self._claims if address)

    def _change(self, gone: Iterable[str], ports: Sequence[MappedPort]) -> None:
        ports = tuple({port.id: port for port in ports}.values())
        table, places, claims = [*self.ports], dict(self._places), Counter(self._claims)
        leaving = [places.pop(each) for each in {*gone, *(port.id for port in ports)} if each in places]
        free = [*self._free, *leaving]
        claims.subtract((table[place].exporter, table[place].host) for place in leaving)
        claims.update((port.exporter, port.host) for port in ports)
        taken = []
        for port in ports:
            if not free:
                free.append(len(table))
                table.append(port)
            taken.append(free.pop())
            table[taken[-1]] = port
            places[port.id] = taken[-1]
        self.ports, self._places, self._free, self._claims = tuple(table), places, tuple(free), +claims
        self._hosts = _numbered(self._hosts, (port.host for port in ports))
        self._projects = _numbered(self._projects, (port.project_id for port in ports))
        assert len(self._hosts) < _NOWHERE, "a cloud has less than 65,535 hosts"
        self._index(np.array(leaving, np.int64), np.array(taken, np.int64), ports)
        self._know_hosts()

    def _index(self, leaving: Numbers, taken: Numbers, ports: Sequence[MappedPort]) -> None:
        host = np.array([self._hosts[port.host] for port in ports], np.int64)
        ifindex = np.array([port.ifindex for port in ports], np.int64)
        project = np.array([self._projects[port.project_id] for port in ports], np.int64)
        mac = np.array([int(port.mac.replace(":", ""), 16) for port in ports], np.uint64)
        halves = [(n, *_halves(text)) for n, port in enumerate(ports) for text in port.addresses]
        owner = np.array([n for n, _, _ in halves], np.int64)
        high, low = (np.array([each[at] for each in halves], np.uint64) for at in (1, 2))
        columns = ("_host", host), ("_ifindex", ifindex), ("_project", project)
        for name, column in columns:
            setattr(self, name, _placed(getattr(self, name), len(self.ports), taken, column))
        # The interface of a trunk is its parent's and its subports': one is taken, and the MAC decides.
        seated = ifindex > 0
        self._seats = self._seats.after(leaving, _joined(host, 32, ifindex)[seated], taken[seated])
        self._macs = self._macs.after(leaving, _mix(host, mac), taken)
        self._any_mac = self._any_mac.after(leaving, _mix(np.zeros_like(mac), mac), taken)
        self._address = self._address.after(leaving, _mix(high, low), taken[owner])
        own = _mix(high, low, project[owner].astype(np.uint64))
        self._own_address = self._own_address.after(leaving, own, taken[owner])

    def _know_hosts(self) -> None:
        """An address that two hosts claim is neither's."""
        claims = Counter(address for address, _ in self._claims)
        by_address = {address: self._hosts[host] for address, host in self._claims if claims[address] == 1}
        self._host_of_exporter = np.array([by_address.get(each, _NOWHERE) for each in self.exporters], np.int64)
        self._cloud = None

    def tag(self, batch: Batch) -> Batch:
        """The records with `port` and `direction` filled in. One that two ports of a host share is there twice.

        So the records of one port and direction are all that it sent, or got, as one exporter saw it; what belongs to
        no port keeps the port -1.
        """
        if not self._places or not len(batch):
            return batch
        both, other = self._tag_plainly(batch) if _LIBRARY is None or not compiled() else self._tag_compiled(batch)
        if not len(both):
            return batch
        shared = some(batch, both)
        shared["port"], shared["direction"] = other, TO_GUEST
        return joined([batch, shared])

    def _tag_plainly(self, batch: Batch) -> tuple[Numbers, Numbers]:
        """Fills in what is said of each record; which belong to a second port, and to which."""
        sender, receiver = self._found({name: batch[name] for name in _READ})
        receiver[receiver == sender] = -1
        sends, gets = sender >= 0, receiver >= 0
        batch["port"] = np.where(sends, sender, receiver)
        batch["direction"][gets] = TO_GUEST
        batch["direction"][sends] = FROM_GUEST
        both = np.flatnonzero(sends & gets)
        return both, receiver[both]

    def _tag_compiled(self, batch: Batch) -> tuple[Numbers, Numbers]:
        """The same by tagging.c."""
        assert _LIBRARY is not None, "there is no tagging.c"
        cloud, _held = self._cloud = self._cloud or self._told()
        records = batch.places(_OF_RECORDS)
        both, other = np.empty((2, len(batch)), np.int64)
        count = _LIBRARY.suimon_tag(place(records), len(batch), place(cloud), place(both), place(other))
        return both[:count], other[:count]

    def _told(self) -> tuple[NDArray[np.int64], Numbers]:
        """As tagging.c's `cloud`, and what has to be held for it besides."""
        hosts = np.append(self._host_of_exporter, _NOWHERE)
        of_ports = (self._host, self._ifindex, self._project)
        lookups = [number for each in self._lookups() for number in each]
        numbers = (*lookups, place(hosts), len(hosts) - 1, _NOWHERE, *map(place, of_ports), _SALT)
        return np.array(numbers, np.int64), hosts

    def _lookups(self) -> Iterable[tuple[int, int, int, int]]:
        yield self._seats.told(any_of_several=True)
        for each in (self._macs, self._any_mac, self._address, self._own_address):
            yield each.told()

    def _found(self, of: _Fields) -> tuple[Numbers, Numbers]:
        host = self._host_of(of["exporter"])
        ours = host != _NOWHERE
        if ours.all():
            return self._here(of, host)
        sender, receiver = (self._anywhere(of, side) for side in ("source", "destination"))
        if ours.any():
            here = self._here({name: column[ours] for name, column in of.items()}, host[ours])
            sender[ours], receiver[ours] = here
        return sender, receiver

    def _host_of(self, exporter: NDArray[np.uint32]) -> Numbers:
        hosts = np.append(self._host_of_exporter, _NOWHERE)
        found: Numbers = hosts[np.minimum(exporter, len(hosts) - 1)]
        return found

    def _here(self, of: _Fields, host: Numbers) -> tuple[Numbers, Numbers]:
        """At an exporter that is a host of the cloud."""
        sender = self._guest_at(host, of["input"], of["source_mac"])
        receiver = self._guest_at(host, of["output"], of["destination_mac"])
        wanting = np.flatnonzero(receiver < 0)
        if len(wanting):
            some = {name: of[name][wanting] for name in _OF_RECEIVER}
            receiver[wanting] = self._receiver(some, host[wanting], sender[wanting])
        return sender, receiver

    def _guest_at(self, host: Numbers, ifindex: NDArray[Any], mac: NDArray[Any]) -> Numbers:
        found = self._seats.find(_joined(host, 32, ifindex), any_of_several=True)
        if not mac.any():
            return found
        by_mac = self._by_mac(host, mac)
        same = (found >= 0) & (by_mac >= 0) & (self._ifindex[by_mac] == ifindex)
        return np.where(same, by_mac, found)

    def _by_mac(self, host: Numbers, mac: NDArray[Any]) -> Numbers:
        return np.where(mac > 0, self._macs.find(_mix(host, mac)), -1)

    def _receiver(self, of: _Fields, host: Numbers, sender: Numbers) -> Numbers:
        """By MAC; of what goes to a router, by address: of the sender's project, or one that is nobody else's."""
        found = self._by_mac(host, of["destination_mac"])
        high, low = of["destination_high"], of["destination_low"]
        unique = self._address.find(_mix(high, low))
        # A project may have an address twice: it then is nobody's.
        project = np.where(sender >= 0, self._project[sender], -1)
        own = self._own_address.find(_mix(high, low, project.astype(np.uint64)))
        for other in (np.where(sender >= 0, own, -1), unique):
            there = (found < 0) & (other >= 0) & (self._host[other] == host)
            found = np.where(there, other, found)
        return found

    def _anywhere(self, of: _Fields, side: str) -> Numbers:
        mac = of[f"{side}_mac"]
        found = np.where(mac > 0, self._any_mac.find(_mix(np.zeros_like(mac), mac)), -1)
        address = self._address.find(_mix(of[f"{side}_high"], of[f"{side}_low"]))
        return np.where(found >= 0, found, address)


class _Lookup:
    """Numbers by key, for whole arrays at once; sorted by key, and never changed."""

    def __init__(self, keys: Keys | None = None, numbers: Numbers | None = None) -> None:
        self._keys = np.empty(0, np.uint64) if keys is None else keys
        self._numbers = np.empty(0, np.int64) if numbers is None else numbers
        alike = self._keys[1:] == self._keys[:-1]
        self._several = np.append(alike, False) | np.insert(alike, 0, False) if len(self._keys) else np.empty(0, bool)

    @cached_property
    def _index(self) -> Index:
        return Index(self._keys)

    @cached_property
    def _alone(self) -> Numbers:
        """-1 for those that several have."""
        return np.where(self._several, -1, self._numbers)

    def told(self, *, any_of_several: bool = False) -> tuple[int, int, int, int]:
        """As tagging.c's `lookup`, whose arrays are this one's."""
        keys, slots = self._index.table
        numbers = self._numbers if any_of_several else self._alone
        return place(keys), place(slots), len(slots) if len(keys) else 0, place(numbers)

    def after(self, gone: Numbers, keys: Keys, numbers: Numbers) -> _Lookup:
        """Without those numbers, and with these pairs."""
        kept = ~np.isin(self._numbers, gone) if len(gone) else np.ones(len(self._numbers), bool)
        order = np.argsort(keys, kind="stable")
        at = np.searchsorted(self._keys[kept], keys[order])
        joined = np.insert(self._keys[kept], at, keys[order])
        return _Lookup(joined, np.insert(self._numbers[kept], at, numbers[order]))

    def find(self, keys: NDArray[Any], *, any_of_several: bool = False) -> Numbers:
        """-1 for a key that is not there, or that several have."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        at = self._index.find(keys.astype(np.uint64, copy=False))
        found = at >= 0
        return np.where(found if any_of_several else found & ~self._several[at], self._numbers[at], -1)


def _numbered(known: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    new = sorted({*names} - known.keys())
    return {**known, **{name: len(known) + at for at, name in enumerate(new)}}


def _placed(column: Numbers, length: int, places: Numbers, values: Numbers) -> Numbers:
    made = np.zeros(length, np.int64)
    made[: len(column)] = column
    made[places] = values
    return made


def _joined(high: Numbers, bits: int, low: NDArray[Any]) -> Keys:
    joined: Keys = (high.astype(np.uint64) << np.uint64(bits)) | low.astype(np.uint64)
    return joined


def _mix(high: NDArray[Any], low: NDArray[Any], project: NDArray[Any] | int = 0) -> Keys:
    """An address, or a host's number and a MAC, as one number; 64 bits of a hash, so that two of a cloud's don't meet
    by chance."""
    parts = (np.asarray(each, np.uint64) for each in (high, low, project))
    mixed = np.full(len(high), _SALT, np.uint64)
    for part, multiplier in zip(parts, _MULTIPLIERS, strict=True):
        mixed = (mixed ^ part) * multiplier
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _halves(address: str) -> tuple[int, int]:
    number = int(ip_address(address))
    return number >> 64, number & 0xFFFFFFFFFFFFFFFF


_FUNCTIONS: Final = {"suimon_tag": Function((AT, NUMBER, AT, AT, AT), NUMBER)}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
