"""What an operator took from guests: L4 ports, or everything but their neighbours and the services of their host."""

from __future__ import annotations

from tests.oracle.frame import Frame
from tests.oracle.guard import Body, asks_for_lease


def binding(port: Body, restrictions: list[Body], trunks: list[Body], floating: list[Body]) -> list[Body]:
    """Those of the guest, which is whatever hangs at one interface: to a trunk's subport its parent is itself. Of the
    network and the addresses, those of the port.
    """
    seats = {seat["port_id"]: trunk["port_id"] for trunk in trunks for seat in trunk["sub_ports"]}
    addresses = {fixed["ip_address"] for fixed in port["fixed_ips"]}
    addresses |= {each["floating_ip_address"] for each in floating if each["port_id"] == port["id"]}
    guest = {port["id"], seats.get(port["id"])}
    about = {"port": guest, "network": {port["network_id"]}, "address": addresses}
    return [one for one in restrictions if one["target"] in about[one["target_kind"]]]


def closed_by(restrictions: list[Body]) -> list[Body]:
    """Their port blocks, written as those of a policy."""
    found = []
    for one in (each for each in restrictions if each["kind"] == "port_block"):
        ports = {"port_range_min": one["port_min"], "port_range_max": one["port_max"], "remote_ip_prefix": None}
        ways = (one["direction"],) if one["direction"] else ("ingress", "egress")
        found += [{"direction": way, "protocol": one["protocol"], **ports} for way in ways]
    return found


def quarantined(restrictions: list[Body]) -> bool:
    return any(one["kind"] == "quarantine" for one in restrictions)


def left_in_quarantine(frame: Frame, *, leased: bool) -> bool:
    """A guest finds its neighbours and, where its host tells them, its addresses."""
    return frame.what in ("arp", "nd") or (leased and asks_for_lease(frame))
