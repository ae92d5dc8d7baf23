"""Ports that are made to be measured, by the API and on a hypervisor, and taken away again.

A hypervisor is a namespace of a lab, or the machine itself. The ports have namespaces of their own, plugged into br-int
as Nova plugs guests, with the addresses that the API gave them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from suimon.lab import processes
from suimon.lab.error import LabError
from suimon.lab.selftest.matrix import Limit, Peer, Unit

Json = dict[str, Any]
Call = Callable[[str, str, Json | None], Json]
"""(method, path such as /v2.0/ports, body) → the answer; LabError when it is refused."""

_NETWORK: Final = "198.18.0.0/24"
"""Kept for benchmarks of network devices (RFC 2544, appendix C.2.2): nobody's guests have such addresses."""
_GATEWAY: Final = "198.18.0.1"
_NAME: Final = "suimon-selftest"
_READY_S: Final = 20.0


class Hypervisor(NamedTuple):
    """`inside` is what begins each command there: nothing on this machine itself. `database` is its OVSDB; the names of
    namespaces made for it begin with `prefix`.
    """

    name: str
    database: str
    inside: tuple[str, ...] = ()
    prefix: str = "suimon"


class Outside(NamedTuple):
    """An external network that has floating IPs to give, and a place on it."""

    network_id: str
    namespace: str
    address: str


class ProbePort(NamedTuple):
    id: str
    namespace: str
    address: str


class PortGround:
    """A port to be limited, and its peers by the name of the path (see `matrix.Ground`)."""

    def __init__(self, call: Call, limited: ProbePort, peers: dict[str, Peer], policies: dict[Unit, str]) -> None:
        self._call = call
        self._limited = limited
        self._policies = policies
        self.namespace = limited.namespace
        self.peers = peers

    def limit(self, limit: Limit) -> None:
        self._call("PUT", f"/v2.0/ports/{self._limited.id}", {"port": {"qos_policy_id": self._policies[limit.unit]}})


@contextmanager
def port_ground(
    call: Call, hypervisors: Sequence[Hypervisor], limits: Sequence[Limit], outside: Outside | None = None
) -> Iterator[PortGround]:
    """Between two ports of the first hypervisor; through a tunnel if there is another; by a floating IP from outside.

    Everything made is removed at the end, also after a failure; what one left that was killed, before it begins.
    """
    _sweep(call, hypervisors[0])
    with ExitStack() as stack:
        api = _Api(call, stack, f"{_NAME}-{hypervisors[0].name}")
        network = api.make("networks", "network", {"name": api.name})
        wanted = {"network_id": network["id"], "ip_version": 4, "cidr": _NETWORK, "gateway_ip": _GATEWAY}
        subnet = api.make("subnets", "subnet", {"name": api.name, **wanted})
        group = api.make("security-groups", "security_group", {"name": api.name})
        rule = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4"}
        call("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        policies: dict[Unit, str] = {limit.unit: _policy(api, limit) for limit in limits}
        # The first one twice: the port that is limited, and its neighbour.
        limited, *others = (_plugged(api, each, network, group["id"]) for each in (hypervisors[0], *hypervisors[:2]))
        paths = zip(("same host", "tunnel"), others, strict=False)
        peers = {path: Peer(port.namespace, port.address, limited.address) for path, port in paths}
        if outside:
            floating = _lead_out(api, outside, subnet["id"], limited)
            peers["floating IP"] = Peer(outside.namespace, outside.address, floating)
        yield PortGround(call, limited, peers, policies)


class _Api:
    """Makes things, most of them of that name, that go when `stack` ends, the last first."""

    def __init__(self, call: Call, stack: ExitStack, name: str) -> None:
        self.call = call
        self.stack = stack
        self.name = name

    def make(self, collection: str, kind: str, wanted: Json) -> Json:
        path = f"/v2.0/{collection}"
        made: Json = self.call("POST", path, {kind: wanted})[kind]
        self.stack.callback(self._gone, f"{path}/{made['id']}")
        return made

    def _gone(self, path: str) -> None:
        # What can't be deleted must not keep the others from being.
        with suppress(LabError):
            self.call("DELETE", path, None)


def _sweep(call: Call, on: Hypervisor) -> None:
    """Remove what bears the name that only this hypervisor's things have."""
    mine = f"?name={quote(f'{_NAME}-{on.name}')}"
    for port in call("GET", f"/v2.0/ports{mine}", None)["ports"]:
        namespace, device = _places(on, port["id"])
        for command in (
            [*_vsctl(on), "--if-exists", "del-port", "br-int", device],
            ["ip", "netns", "delete", namespace],
        ):
            with suppress(LabError):
                processes.run(command)
        call("DELETE", f"/v2.0/ports/{port['id']}", None)
    others = {"networks": "networks", "security-groups": "security_groups", "qos/policies": "policies"}
    for collection, key in others.items():
        for left in call("GET", f"/v2.0/{collection}{mine}", None)[key]:
            call("DELETE", f"/v2.0/{collection}/{left['id']}", None)


def _places(on: Hypervisor, port_id: str) -> tuple[str, str]:
    """The namespace of a port, and its device on br-int."""
    return f"{on.prefix}-probe-{port_id[:8]}", f"tap{port_id[:11]}"


def _vsctl(on: Hypervisor) -> list[str]:
    return [*on.inside, "ovs-vsctl", f"--db={on.database}", "--timeout=10"]


def _policy(api: _Api, limit: Limit) -> str:
    policy = api.make("qos/policies", "policy", {"name": api.name})
    kind, wanted = {
        "kbps": ("bandwidth_limit_rule", {"max_kbps": limit.value}),
        "packets/s": ("packet_rate_limit_rule", {"max_kpps": limit.value // 1000}),
    }[limit.unit]
    for direction in ("egress", "ingress"):
        api.call("POST", f"/v2.0/qos/policies/{policy['id']}/{kind}s", {kind: {**wanted, "direction": direction}})
    return str(policy["id"])


def _plugged(api: _Api, on: Hypervisor, network: Json, group_id: str) -> ProbePort:
    wanted = {"name": api.name, "network_id": network["id"], "binding:host_id": on.name, "security_groups": [group_id]}
    port = api.make("ports", "port", {**wanted, "device_owner": "compute:selftest"})
    namespace, device = _places(on, port["id"])
    address = str(port["fixed_ips"][0]["ip_address"])
    processes.run(["ip", "netns", "add", namespace])
    api.stack.callback(processes.run, ["ip", "netns", "delete", namespace])
    card = ["eth0", "address", port["mac_address"], "netns", namespace]
    processes.run([*on.inside, "ip", "link", "add", device, "type", "veth", "peer", "name", *card])
    vsctl = _vsctl(on)
    api.stack.callback(processes.run, [*vsctl, "--if-exists", "del-port", "br-int", device])
    marks = [f"external_ids:iface-id={port['id']}", f'external_ids:attached-mac="{port["mac_address"]}"']
    processes.run([*vsctl, "add-port", "br-int", device, "--", "set", "interface", device, *marks])
    within = ["ip", "netns", "exec", namespace]
    # Large packets would count as one, and without hardware their checksums are never made.
    processes.run([*within, "ethtool", "-K", "eth0", "tx", "off"])
    for command in (
        ["address", "add", f"{address}/24", "dev", "eth0"],
        ["link", "set", "eth0", "mtu", str(network["mtu"]), "up"],
        ["route", "add", "default", "via", _GATEWAY],
    ):
        processes.run([*within, "ip", *command])
    processes.run([*on.inside, "ip", "link", "set", device, "up"])
    _await_active(api, f"/v2.0/ports/{port['id']}", "port")
    return ProbePort(str(port["id"]), namespace, address)


def _lead_out(api: _Api, outside: Outside, subnet_id: str, limited: ProbePort) -> str:
    """A router to the outside, and a floating IP of the port: its address."""
    gateway = {"network_id": outside.network_id}
    router = api.make("routers", "router", {"name": api.name, "external_gateway_info": gateway})
    path = f"/v2.0/routers/{router['id']}"
    api.call("PUT", f"{path}/add_router_interface", {"subnet_id": subnet_id})
    api.stack.callback(api.call, "PUT", f"{path}/remove_router_interface", {"subnet_id": subnet_id})
    wanted = {"floating_network_id": outside.network_id, "port_id": limited.id}
    floating = api.make("floatingips", "floatingip", wanted)
    _await_active(api, f"/v2.0/floatingips/{floating['id']}", "floatingip")
    return str(floating["floating_ip_address"])


def _await_active(api: _Api, path: str, kind: str) -> None:
    deadline = time.monotonic() + _READY_S
    while (thing := api.call("GET", path, None)[kind])["status"] != "ACTIVE":
        if time.monotonic() > deadline:
            raise LabError(f"The {kind} {thing['id']} did not become ready within {_READY_S:g} s; `suimon why-not` it.")
        time.sleep(0.1)
