"""What the API lets through, hosts can compile: a tenant's odd wish must not stop anybody's agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from suimon.dataplane.openflow.target import bridge_entries
from suimon.distribution.difference import Held, differences
from suimon.model import view
from suimon.model.errors import CallerError
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.world import World as Pipeline
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, World

BOUND = {"project_id": "red", "binding:host_id": "h1"}
PROTOCOLS = (None, "0", "hopopt", "icmp", "6", "17", "132", "dccp", "136", "255", "ah", "41", "ipv6-icmp", "ipv6-nonxt")
PORTS: tuple[dict[str, int], ...] = (
    {},
    {"port_range_min": 0, "port_range_max": 0},
    {"port_range_min": 1, "port_range_max": 65535},
    {"port_range_min": 0},
)
PREFIXES = ("0.0.0.0/0", "::/0", "10.0.0.0/8", "fd00::/8", "1.2.3.4", "255.255.255.255", "224.0.0.1", "::1")
Try = Callable[..., None]


def rules(world: World, network: str, attempt: Try) -> None:
    group = world.create("security-groups", name="g")["id"]
    world.port(network, ADMIN, security_groups=[group], **BOUND)
    inward = {"security_group_id": group, "direction": "ingress"}
    for ethertype in ("IPv4", "IPv6"):
        for protocol in PROTOCOLS:
            for ports in PORTS:
                attempt(world.create, "security-group-rules", inward, ethertype=ethertype, protocol=protocol, **ports)
        for prefix in PREFIXES:
            attempt(world.create, "security-group-rules", inward, ethertype=ethertype, remote_ip_prefix=prefix)


def addresses(world: World, network: str, attempt: Try) -> None:
    subnet = world.list("subnets", f"network_id={network}")[0]["id"]
    world.port(network, ADMIN, fixed_ips=[], **BOUND)
    world.port(network, ADMIN, fixed_ips=[{"subnet_id": subnet}] * 5, **BOUND)
    for prefix in PREFIXES:
        for mac in ({}, {"mac_address": "02:00:00:00:00:09"}):
            pairs = [{"ip_address": prefix, **mac}]
            attempt(world.port, network, ADMIN, allowed_address_pairs=pairs, **BOUND)
    for cidr in ("10.7.7.7/32", "10.7.7.6/31", "fd00:7::/64", "240.0.0.0/4", "192.0.0.0/2", "0.0.0.0/1"):
        other = world.network(mtu=68 if "." in cidr else 1280)
        attempt(world.subnet, other, cidr)
        world.port(other, ADMIN, **BOUND)
    for name in ("\a\n", "'\"$(x)", "\ud7ff"):
        world.port(network, ADMIN, name=name, **BOUND)


def routes(world: World, network: str, attempt: Try) -> None:
    world.subnet(network, "fd00::/64")
    outside = world.network(ADMIN, **{"router:external": True})
    world.subnet(outside, "fd05::/64", ADMIN)
    router = world.router(external_gateway_info={"network_id": outside})
    for subnet in world.list("subnets", f"network_id={network}"):
        world.act(router, "add_router_interface", {"subnet_id": subnet["id"]})
    world.port(network, ADMIN, **BOUND)
    for destination in (
        "0.0.0.0/0",
        "::/0",
        "fd01::/16",
        "224.0.0.0/4",
        "10.0.0.0/24",
        "9.0.0.0/24",
        "255.255.255.255/32",
    ):
        for nexthop in ("10.0.0.9", "10.0.0.8", "10.0.0.255", "fd00::9", "fd05::9"):
            body = {"router": {"routes": [{"destination": destination, "nexthop": nexthop}]}}
            attempt(world.act, router, "add_extraroutes", body)


def limits(world: World, network: str, attempt: Try) -> None:
    children = RESOURCES["qos/policies"].children

    def policy(path: str, **body: Any) -> None:
        id_ = world.create("qos/policies", by=ADMIN)["id"]
        child = children[path]
        wanted = child.spec.for_create(body, ADMIN)
        world.write(lambda tx: child.create(tx, ADMIN, id_, wanted))
        world.port(network, ADMIN, qos_policy_id=id_, **BOUND)

    for direction in ("ingress", "egress"):
        for kbps in (0, 1, 2**31 - 1):
            for burst in (0, 1, 2**31 - 1):
                rule = {"max_kbps": kbps, "max_burst_kbps": burst, "direction": direction}
                attempt(policy, "bandwidth_limit_rules", **rule)
        for prefix in (None, *PREFIXES):
            block = {"port_range_min": 1, "port_range_max": 65535, "remote_ip_prefix": prefix, "direction": direction}
            attempt(policy, "port_block_rules", protocol="udp", **block)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.mark.parametrize("fill", [rules, addresses, routes, limits], ids=lambda fill: str(fill.__name__))
def test_what_the_api_lets_through_compiles(world: World, fill: Callable[[World, str, Try], None]) -> None:
    let = refused = 0

    def attempt(act: Callable[..., object], *wanted: Any, **more: Any) -> None:
        nonlocal let, refused
        try:
            act(*wanted, **more)
            let += 1
        except CallerError:
            refused += 1

    world.host("h1")
    network = world.network()
    world.subnet(network)
    fill(world, network, attempt)
    assert let and refused
    pipeline = Pipeline("h1", Numbers())
    for ofport, thing in enumerate(told(world), 10):
        pipeline.set(thing)
        if isinstance(thing, view.Port):
            pipeline.plug(thing.id, ofport)
    programs = [pipeline.compile(owner) for owner in pipeline.owners()]
    assert bridge_entries(
        [thing for program in programs for thing in (*program.flows, *program.groups, *program.meters)]
    )


def told(world: World) -> list[view.Object]:
    found = world.read(lambda tx: differences(tx, {"h1": Held(view.SCHEMA)}, {"h1"}, ()))
    return [msgspec.json.decode(raw, type=view.Object) for raw in found["h1"].objects]
