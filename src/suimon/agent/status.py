"""A port's status, derived: is it plugged, and did the switch take the flows that it needs?"""

from collections.abc import Iterable, Mapping

import msgspec

from suimon.model.owner import Owner
from suimon.model.view import Exported, Port, PortReport
from suimon.pipeline.shared import flood_part, set_name
from suimon.reconcile import Failure


class Seat(msgspec.Struct, frozen=True):
    """A port of this host, and where its guest is plugged (None: nowhere, because of `error` if that is known)."""

    port: Port
    ofport: int | None
    error: str = ""
    network_up: bool = True
    exported: Exported = Exported()


def statuses(seats: Iterable[Seat], failures: Mapping[Owner, Failure]) -> dict[str, PortReport]:
    """By port id. To be asked with the seats whose flows were just applied, and what failed of them."""
    return {
        seat.port.id: msgspec.structs.replace(
            _status(seat, failures), ifindex=seat.exported.ifindex, exporter=seat.exported.exporter
        )
        if seat.exported.ifindex
        else _status(seat, failures)
        for seat in seats
    }


def _status(seat: Seat, failures: Mapping[Owner, Failure]) -> PortReport:
    port = seat.port
    if seat.ofport is None:
        nowhere = f"no interface on this host has external_ids:iface-id={port.parent or port.id}"
        return PortReport(port.id, "DOWN", f"the interface can't be used: {seat.error}" if seat.error else nowhere)
    of_port, of_network = Owner("port", port.id), Owner("network", port.network_id)
    for owner in (of_port, of_network, Owner("flood", flood_part(port)), Owner("group_set", set_name(port))):
        if owner in failures:
            return PortReport(port.id, "DOWN", f"the switch refused {owner}: {failures[owner].reason}")
    if not port.up:
        return PortReport(port.id, "DOWN", "the port is administratively down")
    if not seat.network_up:
        return PortReport(port.id, "DOWN", "its network is administratively down")
    return PortReport(port.id, "ACTIVE")
