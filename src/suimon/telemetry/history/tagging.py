"""Whose a record is: the port that sent what it tells of, and the port that it was sent to.

Open vSwitch samples a packet where it comes in, before the connection tracker is asked: a guest is known by the
interface's index, but where the packet will leave is not (docs/decisions/0046). So who receives is found by the MAC,
and behind a router by the address. Physical switches know no guest's interface: the MAC decides, then the address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suimon.model.collectors import MappedPort
from suimon.model.records import FROM_GUEST, TO_GUEST, Batch

Numbers = NDArray[np.int64]
Keys = NDArray[np.uint64]
_NOWHERE: Final = 0xFFFF
"""The host of exporters that are none: there whatever is one port's alone in the cloud counts."""
_MULTIPLIERS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


class Tagger:
    """`ports` is the table that `port` of a tagged record is an index into; both are made anew, never changed."""

    def __init__(self, ports: Iterable[MappedPort], exporters: Sequence[IPv4Address | IPv6Address]) -> None:
        self.ports = tuple(ports)
        self.exporters = tuple(str(each) for each in exporters)
        hosts = {name: number for number, name in enumerate(sorted({port.host for port in self.ports}))}
        assert len(hosts) < _NOWHERE, "a cloud has less than 65,535 hosts"
        # An address that two hosts claim is neither's.
        claims = Counter(address for address, _ in {(port.exporter, port.host) for port in self.ports})
        by_address = {port.exporter: hosts[port.host] for port in self.ports if claims[port.exporter] == 1}
        self._host_of_exporter = np.array([by_address.get(each, _NOWHERE) for each in self.exporters], np.int64)
        self._host = np.array([hosts[port.host] for port in self.ports], np.int64)
        self._ifindex = np.array([port.ifindex for port in self.ports], np.int64)
        projects = {name: number for number, name in enumerate(sorted({port.project_id for port in self.ports}))}
        self._project = np.array([projects[port.project_id] for port in self.ports], np.int64)
        seats = [(hosts[port.host] << 32 | port.ifindex) if port.ifindex else None for port in self.ports]
        # The interface of a trunk is its parent's and its subports': the first is taken, and the MAC decides.
        self._seats = _Lookup(((key, n) for n, key in enumerate(seats)), first=True)
        macs = [int(port.mac.replace(":", ""), 16) for port in self.ports]
        self._macs = _Lookup(
            (hosts[port.host] << 48 | mac, n) for n, (port, mac) in enumerate(zip(self.ports, macs, strict=True))
        )
        self._any_mac = _Lookup((mac, n) for n, mac in enumerate(macs))
        addresses = [(n, _halves(text)) for n, port in enumerate(self.ports) for text in port.addresses]
        self._address = _Lookup((_mixed(*halves), n) for n, halves in addresses)
        self._own_address = _Lookup((_mixed(*halves, int(self._project[n])), n) for n, halves in addresses)

    def tag(self, batch: Batch) -> Batch:
        """The records with `port` and `direction`. One that two ports of a host share is there twice, once for each.

        So the records of one port and direction are all that it sent, or got, as one exporter saw it; what belongs to
        no port keeps the port -1.
        """
        if not len(self.ports) or not len(batch):
            return batch
        sender, receiver = self._found(batch)
        receiver[receiver == sender] = -1
        both = (sender >= 0) & (receiver >= 0)
        tagged = np.concatenate([batch, batch[both]])
        port = np.where(sender >= 0, sender, receiver)
        direction = np.where(sender >= 0, FROM_GUEST, np.where(receiver >= 0, TO_GUEST, batch["direction"]))
        tagged["port"] = np.concatenate([port, receiver[both]])
        tagged["direction"] = np.concatenate([direction, np.full(int(both.sum()), TO_GUEST)])
        return tagged

    def _found(self, batch: Batch) -> tuple[Numbers, Numbers]:
        exporter = batch["exporter"].astype(np.int64)
        host = np.full(len(batch), _NOWHERE)
        known = exporter < len(self._host_of_exporter)
        host[known] = self._host_of_exporter[exporter[known]]
        ours = host != _NOWHERE
        sender = np.where(ours, self._guest_at(host, batch["input"], batch["source_mac"]), -1)
        receiver = np.where(ours, self._guest_at(host, batch["output"], batch["destination_mac"]), -1)
        wanting = ours & (receiver < 0)
        receiver[wanting] = self._receiver(batch[wanting], host[wanting], sender[wanting])
        away = ~ours
        for found, side in ((sender, "source"), (receiver, "destination")):
            found[away] = self._anywhere(batch[away], side)
        return sender, receiver

    def _guest_at(self, host: Numbers, ifindex: NDArray[Any], mac: NDArray[Any]) -> Numbers:
        found = self._seats.find(_joined(host, 32, ifindex))
        by_mac = self._macs.find(_joined(host, 48, mac))
        same = (found >= 0) & (by_mac >= 0) & (self._ifindex[by_mac] == ifindex)
        return np.where(same, by_mac, found)

    def _receiver(self, batch: Batch, host: Numbers, sender: Numbers) -> Numbers:
        """By MAC; of what goes to a router, by address: of the sender's project, or one that is nobody else's."""
        found = self._macs.find(_joined(host, 48, batch["destination_mac"]))
        high, low = batch["destination_high"], batch["destination_low"]
        unique = self._address.find(_mix(high, low))
        # A project may have an address twice: it then is nobody's.
        project = np.where(sender >= 0, self._project[sender], -1)
        own = self._own_address.find(_mix(high, low, project.astype(np.uint64)))
        for other in (np.where(sender >= 0, own, -1), unique):
            there = (found < 0) & (other >= 0) & (self._host[other] == host)
            found = np.where(there, other, found)
        return found

    def _anywhere(self, batch: Batch, side: str) -> Numbers:
        mac = batch[f"{side}_mac"]
        found = np.where(mac > 0, self._any_mac.find(mac), -1)
        address = self._address.find(_mix(batch[f"{side}_high"], batch[f"{side}_low"]))
        return np.where(found >= 0, found, address)


class _Lookup:
    """Numbers by key, for whole arrays at once. Of a key that several have, it is nobody's, or the `first`'s."""

    def __init__(self, pairs: Iterable[tuple[int | None, int]], *, first: bool = False) -> None:
        known = [(key, number) for key, number in pairs if key is not None]
        counts: Counter[Hashable] = Counter(key for key, _ in known)
        kept: dict[int, int] = {}
        for key, number in known:
            if first or counts[key] == 1:
                kept.setdefault(key, number)
        ordered = sorted(kept.items())
        self._keys = np.array([key for key, _ in ordered], np.uint64)
        self._numbers = np.array([number for _, number in ordered], np.int64)

    def find(self, keys: NDArray[Any]) -> Numbers:
        """-1 for a key that is not there."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys.astype(np.uint64)), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._numbers[at], -1)


def _joined(high: Numbers, bits: int, low: NDArray[Any]) -> Keys:
    joined: Keys = (high.astype(np.uint64) << np.uint64(bits)) | low.astype(np.uint64)
    return joined


def _mix(high: NDArray[Any], low: NDArray[Any], project: NDArray[Any] | int = 0) -> Keys:
    """An address as one number; 64 bits of a hash, so that two of a cloud's don't meet by chance."""
    parts = (np.asarray(each, np.uint64) for each in (high, low, project))
    mixed = np.zeros(len(high), np.uint64)
    for part, multiplier in zip(parts, _MULTIPLIERS, strict=True):
        mixed = (mixed ^ part) * multiplier
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _mixed(high: int, low: int, project: int = 0) -> int:
    return int(_mix(np.array([high], np.uint64), np.array([low], np.uint64), project)[0])


def _halves(address: str) -> tuple[int, int]:
    number = int(ip_address(address))
    return number >> 64, number & 0xFFFFFFFFFFFFFFFF
