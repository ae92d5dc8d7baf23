"""Local IPs: an address that means, for the guests of a host, a port of that host.

`translate` leads there what is sent to the address, and answers come from it; with `passthrough` the guest has to know
it. Neither is done for IPv6. Where several ports of a host are meant, it is the one with the lowest id.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle.frame import ECHO, ECHO_REPLY, Frame
from tests.oracle.guard import Body, may_open

Led = dict[tuple[str, str], dict[tuple[object, ...], str]]
"""By port and host: the local IP that somebody found the port at, by what an answer to him looks like."""


class LocalIps:
    """`ports` are those that guests may sit at, `led` outlives changes of the cloud."""

    def __init__(self, local_ips: list[Body], ports: dict[str, Body], up: Callable[[Body], bool], led: Led) -> None:
        self._all, self._ports, self._up, self._led = local_ips, ports, up, led
        for seat in led.keys() - {_seat(port) for port in ports.values()}:
            del led[seat]

    def mac(self, asking: Body, ip: str) -> str | None:
        """Who answers a guest that asks for the address."""
        found = self._meant(asking["network_id"], asking["binding:host_id"], ip)
        return str(found[0]["mac_address"]) if found and found[0] is not asking else None

    def on_its_way(self, sender: Body, frame: Frame) -> Frame:
        """What a guest sends, as it goes on: to whom the address means, or as an answer from the address."""
        if frame.what != "ip" or frame.ipv6:
            return frame
        meant = self._meant(sender["network_id"], sender["binding:host_id"], frame.dst)
        if meant and meant[0] is sender:
            return frame
        if meant and meant[1]:
            port, fixed_ip = meant
            led = frame.but(eth_dst=port["mac_address"], dst=fixed_ip)
            if may_open(led):
                self._led.setdefault(_seat(port), {})[_ends(_answer(led))] = frame.dst
            return led
        found = self._led.get(_seat(sender), {}).get(_ends(frame))
        return frame.but(src=found) if found and frame.src in self._translated(sender) else frame

    def concerns(self, sender: Body, frame: Frame) -> bool:
        """Whether what a guest sends may be to a local IP, or to who found it at one."""
        meant = self._meant(sender["network_id"], sender["binding:host_id"], frame.dst)
        return meant is not None or frame.src in self._translated(sender)

    def silences(self, network_id: str, host: str, frame: Frame) -> bool:
        """Nobody is told on a host that the address is elsewhere."""
        announced = frame.what == "arp" and frame.src == frame.dst
        return announced and self._meant(network_id, host, frame.src) is not None

    def is_own(self, sender: Body, frame: Frame) -> bool:
        """Whether a port announces the address that it is meant by here."""
        meant = self._meant(sender["network_id"], sender["binding:host_id"], frame.src)
        return frame.what == "arp" and frame.src == frame.dst and meant is not None and meant[0] is sender

    def _meant(self, network_id: str, host: str, ip: str) -> tuple[Body, str] | None:
        """The port on the host, and its address that the local IP is translated to, "" if it isn't."""
        found = [
            (port["id"], one["fixed_ip"] if each["ip_mode"] == "translate" else "")
            for each in self._all
            for one in each["associations"]
            if each["local_ip_address"] == ip
            and ":" not in ip + one["fixed_ip"]
            and (port := self._ports.get(one["fixed_port_id"]))
            if (port["network_id"], port["binding:host_id"]) == (network_id, host) and self._up(port)
        ]
        if not found:
            return None
        id_, fixed_ip = min(found)
        return self._ports[id_], fixed_ip

    def _translated(self, port: Body) -> set[str]:
        every = [(each["ip_mode"], one) for each in self._all for one in each["associations"]]
        return {one["fixed_ip"] for mode, one in every if (mode, one["fixed_port_id"]) == ("translate", port["id"])}


def _seat(port: Body) -> tuple[str, str]:
    return port["id"], port["binding:host_id"]


def _answer(frame: Frame) -> Frame:
    if frame.protocol in ECHO:
        return frame.but(src=frame.dst, dst=frame.src, first=ECHO_REPLY[frame.protocol])
    return frame.but(src=frame.dst, dst=frame.src, first=frame.second, second=frame.first)


def _ends(frame: Frame) -> tuple[object, ...]:
    return frame.protocol, frame.ident, frame.src, frame.dst, frame.first, frame.second
