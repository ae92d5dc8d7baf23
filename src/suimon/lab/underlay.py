"""The wires: namespaces of the fabric, the hypervisors and the internet host, and the three networks between them.

The fabric's Linux bridges know nothing of VLANs and so carry them all. Management and tunnels are apart: a hypervisor
cut off from its controller still reaches its peers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network
from pathlib import Path

import msgspec

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.layout import PUBLIC_GATEWAY, PUBLIC_NETWORK, Host, Layout

_NETNS = Path("/run/netns")
_LINKS = Path("/sys/class/net")
_NETWORKS = {"mgmt": "eth-mgmt", "tun": "eth-tun", "pub": "eth-public"}
"""The fabric's bridges, and what a hypervisor calls its leg on each."""

# With the userspace datapath the host's own IP stack sees the frames too that its Open vSwitch takes from a device
# (Documentation/intro/install/userspace.rst, "Firewall Rules"). Without these rules it would answer the guests.
_HOST_RULES = """
table inet suimon_lab { chain input { type filter hook prerouting priority raw;
  iifname { "tap*", "eth-tun", "eth-public" } drop; }; }
table arp suimon_lab { chain input { type filter hook input priority filter;
  iifname { "tap*", "eth-tun", "eth-public" } drop; }; }
"""


class Underlay:
    """`intend_namespace` is called before each namespace is made. Its commands carry the lab's mark, as daemons do."""

    def __init__(self, layout: Layout, intend_namespace: Callable[[str], None]) -> None:
        self._layout = layout
        self._intend_namespace = intend_namespace
        self._env = processes.environment(layout.directory)

    def check_clashes(self) -> None:
        """LabError if this machine already uses an address range, a link name or a port that the lab needs."""
        layout = self._layout
        routes = msgspec.json.decode(
            self._run("ip", "-j", "route", "show", "table", "all"), type=list[dict[str, object]]
        )
        for route in routes:
            if _overlap(str(route.get("dst", "default")), layout.management):
                raise LabError(
                    f"This machine already has a route to {route['dst']} (device {route.get('dev')}), which the lab's "
                    f"management network {layout.management} overlaps; choose another with --number."
                )
        if (_LINKS / layout.root_link).exists():
            raise LabError(f"A link {layout.root_link} exists already; end what made it, or choose another --name.")
        if _taken(layout.config.api_port):
            raise LabError(f"Port {layout.config.api_port} of 127.0.0.1 is taken; choose another with --api-port.")

    def build(self) -> None:
        """All namespaces and links, up and addressed."""
        layout = self._layout
        for namespace in (layout.fabric, layout.internet):
            self._add_quiet_namespace(namespace)
        self._batch(layout.fabric, _fabric(layout))
        for host in layout.hosts:
            self.add_hypervisor(host, _cables(host))
        # Both legs are on one wire: without this, either answers for the other's address, and frames come in by the one
        # while they go out by the other (ip-sysctl, arp_ignore).
        self._run("ip", "netns", "exec", layout.internet, "sysctl", "-q", "-w", "net.ipv4.conf.all.arp_ignore=1")
        address = f"address add {PUBLIC_GATEWAY}/{PUBLIC_NETWORK.prefixlen} dev flat"
        self._batch(layout.internet, [*_up("lo", "flat", "trunk"), address])
        self._no_offload(layout.internet, "flat", "trunk")
        self._connect_controller()

    def add_hypervisor(self, host: Host, cables: Iterable[str]) -> None:
        """A namespace with three legs, which it gets by `cables`: what `ip` does for that in the fabric."""
        self._add_quiet_namespace(host.namespace)
        self._batch(self._layout.fabric, cables)
        address = f"address add {host.management_ip}/24 dev eth-mgmt"
        self._batch(host.namespace, [*_up("lo", *_NETWORKS.values()), address])
        self._run("ip", "netns", "exec", host.namespace, "nft", "-f", "-", stdin=_HOST_RULES)
        self._no_offload(host.namespace, *_NETWORKS.values())

    def cut_management(self, host: Host, *, cut: bool) -> None:
        """Pull the host's management cable out, or put it back in."""
        self._batch(self._layout.fabric, [f"link set mgmt-{host.name} {'down' if cut else 'up'}"])

    def add_guest(self, host: Host, device: str, namespace: str, mac: str) -> None:
        """A namespace and a veth pair: `device` in the hypervisor, `eth0` with the port's MAC in the guest, both up."""
        self._add_namespace(namespace)
        self._batch(namespace, _up("lo"))
        self._cable(host, device, namespace, mac, "eth0")

    def add_movable_guest(self, host: Host, device: str, namespace: str, mac: str) -> None:
        """The same, but `eth0` is a bridge: it stays what it is when the guest's cable is another."""
        self._add_namespace(namespace)
        card = f"link add eth0 address {mac} type bridge stp_state 0 mcast_snooping 0"
        self._batch(namespace, [card, *_up("lo", "eth0")])
        self.add_cable(host, device, namespace, mac)
        self.plug_cable(namespace, host)

    def add_cable(self, host: Host, device: str, namespace: str, mac: str) -> None:
        """Of a movable guest, to one more hypervisor. It carries nothing until `plug_cable`."""
        self._cable(host, device, namespace, mac, _cable_to(host))

    def plug_cable(self, namespace: str, host: Host, instead_of: Host | None = None) -> None:
        unplugged = [f"link set {_cable_to(instead_of)} nomaster"] if instead_of else []
        self._batch(namespace, [*unplugged, f"link set {_cable_to(host)} master eth0"])

    def remove_cable(self, namespace: str, host: Host) -> None:
        self._batch(namespace, [f"link delete {_cable_to(host)}"])

    def set_address(self, namespace: str, device: str, address: str) -> None:
        """Up, with this address and prefix length."""
        self._batch(namespace, [f"address add {address} dev {device}", *_up(device)])

    def set_local(self, namespace: str, network: IPv4Network) -> None:
        """Whatever is sent to the network arrives here."""
        self._batch(namespace, [f"route replace local {network} dev lo"])

    def remove(self, namespaces: Iterable[str]) -> None:
        """Delete these namespaces with all their links, of those that exist."""
        existing = existing_namespaces()
        for namespace in namespaces:
            if namespace in existing:
                self._run("ip", "netns", "delete", namespace)

    def disconnect_controller(self) -> None:
        """Delete its leg on the management network, if it is there.

        Once the fabric's namespace is deleted it goes by itself, a moment later, which may be while we delete it.
        """
        link = _LINKS / self._layout.root_link
        if link.exists():
            try:
                self._run("ip", "link", "delete", link.name)
            except LabError:
                if link.exists():
                    raise

    def _add_namespace(self, namespace: str) -> None:
        self._intend_namespace(namespace)
        self._run("ip", "netns", "add", namespace)

    def _add_quiet_namespace(self, namespace: str) -> None:
        """A host that speaks IPv6 on a guest's device would be the guest's neighbour."""
        self._add_namespace(namespace)
        settings = [f"net.ipv6.conf.{scope}.disable_ipv6=1" for scope in ("all", "default")]
        self._run("ip", "netns", "exec", namespace, "sysctl", "-q", "-w", *settings)

    def _cable(self, host: Host, device: str, namespace: str, mac: str, name: str) -> None:
        cable = f"link add {device} type veth peer name {name} address {mac} netns {namespace}"
        self._batch(host.namespace, [cable, f"link set {device} up"])
        # A leg of the guest's bridge has no address: one made of the same MAC would be the bridge's duplicate.
        quiet = [f"link set {name} addrgenmode none"] if name != "eth0" else []
        self._batch(namespace, [*quiet, *_up(name)])
        self._no_offload(host.namespace, device)
        self._no_offload(namespace, name)

    def _connect_controller(self) -> None:
        link = self._layout.root_link
        self._run("ip", "link", "add", link, "type", "veth", "peer", "name", "controller", "netns", self._layout.fabric)
        self._batch(self._layout.fabric, ["link set controller master mgmt up"])
        self._run("ip", "address", "add", f"{self._layout.controller_ip}/24", "dev", link)
        self._run("ip", "link", "set", link, "up")

    def _no_offload(self, namespace: str, *devices: str) -> None:
        """Checksums are computed before a frame leaves: conntrack drops those left to hardware that isn't there."""
        for device in devices:
            self._run("ip", "netns", "exec", namespace, "ethtool", "-K", device, "tx", "off")

    def _batch(self, namespace: str, lines: Iterable[str]) -> None:
        self._run("ip", "-n", namespace, "-batch", "-", stdin="\n".join(lines) + "\n")

    def _run(self, *args: str, stdin: str = "") -> str:
        return processes.run(args, stdin=stdin, env=self._env)


def existing_namespaces() -> set[str]:
    """The names of the machine's named network namespaces."""
    return {entry.name for entry in _NETNS.iterdir()} if _NETNS.is_dir() else set()


def _fabric(layout: Layout) -> list[str]:
    lines = _up("lo")
    for bridge in _NETWORKS:
        lines += [f"link add {bridge} type bridge stp_state 0 mcast_snooping 0", f"link set {bridge} up"]
    for leg in ("flat", "trunk"):
        lines += [f"link add {leg} type veth peer name {leg} netns {layout.internet}", f"link set {leg} master pub up"]
    return lines


def _cables(host: Host) -> list[str]:
    lines = []
    for bridge, device in _NETWORKS.items():
        leg = f"{bridge}-{host.name}"
        lines += [
            f"link add {leg} type veth peer name {device} netns {host.namespace}",
            f"link set {leg} master {bridge} up",
        ]
    return lines


def _cable_to(host: Host) -> str:
    return f"to-{host.name}"


def _up(*devices: str) -> list[str]:
    return [f"link set {device} up" for device in devices]


def _overlap(destination: str, network: IPv4Network) -> bool:
    if destination == "default" or ":" in destination:
        return False
    return IPv4Network(destination, strict=False).overlaps(network)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # What closed connections leave behind (TIME_WAIT) is no clash: the controller takes the port in spite of it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
