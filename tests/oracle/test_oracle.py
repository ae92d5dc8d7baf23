"""For random clouds, changes and frames the hosts do what the oracle says; and what they hold is what they are told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suimon.resources import restrictions
from tests.oracle.cluster import HOSTS, Cluster, opened
from tests.oracle.crash import check_crash_points, installed
from tests.oracle.frame import BROADCAST, ECHO, ECHO_REPLY, ICMP, ICMPV6, TCP, UDP, Frame
from tests.oracle.intent import Memory, Oracle
from tests.oracle.topology import ACTS
from tests.oracle.trial import Trial
from tests.resources.below import Below
from tests.resources.world import ADMIN, Body

SEED = st.integers(0, 2**30)
DRAWN = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""The same clouds each time: `make oracle` looks for others."""
STEPS = st.lists(st.tuples(st.sampled_from(sorted(ACTS)), SEED), max_size=6)


@given(SEED, STEPS)
@settings(DRAWN, max_examples=12)
def test_packets_get_where_the_oracle_says(seed: int, steps: list[tuple[str, int]]) -> None:
    with opened(seed) as cluster:
        trial = Trial(cluster, seed)
        trial.ask(60)
        for name, choice in steps:
            if trial.change(name, choice):
                trial.ask(20)


@given(SEED, STEPS)
@settings(DRAWN, max_examples=8)
def test_deltas_make_what_a_snapshot_makes_and_any_crash_converges(seed: int, steps: list[tuple[str, int]]) -> None:
    with opened(seed) as cluster:
        trial = Trial(cluster, seed)
        for name, choice in steps:
            before = {host: installed(cluster, host) for host in HOSTS}
            if not trial.change(name, choice):
                continue
            for host in HOSTS:
                told, started = cluster.whole(host)
                assert told == cluster.cloud.followers[host].objects, f"{host} after {trial.history}"
                assert started.installed_by_owner == cluster.underlay.hypervisors[host].installed_by_owner
                check_crash_points(cluster, host, before[host])


# The oracle itself, where anybody can say what is right.


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with opened(0) as one:
        yield one


def guests(cluster: Cluster, **more: object) -> tuple[Body, Body]:
    """Two of them on different hosts of one network, in a group of their own without ingress."""
    api = cluster.api
    network = api.network(ADMIN)
    api.subnet(network, "10.0.0.0/24", ADMIN)
    group = api.create("security-groups", by=ADMIN, name="g")["id"]
    body = {"security_groups": [group], **more}
    one, other = (api.port(network, ADMIN, **{"binding:host_id": host}, **body) for host in ("h1", "h2"))
    return one, other


def ip_frame(source: Body, target: Body, protocol: int, l4_port: int) -> Frame:
    addresses = {"src": source["fixed_ips"][0]["ip_address"], "dst": target["fixed_ips"][0]["ip_address"]}
    ends = {"eth_src": source["mac_address"], "eth_dst": target["mac_address"], **addresses}
    return Frame(**ends, what="ip", protocol=protocol, first=40000, second=l4_port)


def reached(cluster: Cluster, memory: Memory, source: Body, frame: Frame) -> list[str]:
    return [each.place for each in Oracle(cluster.resources(), memory).from_port(source["id"], frame)]


def test_the_oracle_allows_what_a_rule_allows_and_its_answer_until_the_rule_goes(cluster: Cluster) -> None:
    one, other = guests(cluster)
    memory, opening = Memory(), ip_frame(one, other, TCP, 22)
    assert reached(cluster, memory, one, opening) == []
    ssh = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    rule = cluster.api.create("security-group-rules", {**ssh, "security_group_id": one["security_groups"][0]}, by=ADMIN)
    assert reached(cluster, memory, one, opening) == [other["id"]]
    assert reached(cluster, memory, one, ip_frame(one, other, TCP, 23)) == []
    assert reached(cluster, memory, one, ip_frame(one, other, UDP, 22)) == []
    answer = ip_frame(other, one, TCP, 40000).but(first=22, opens=False)
    assert reached(cluster, memory, other, answer) == [one["id"]]
    assert reached(cluster, memory, other, answer.but(second=40001)) == []
    cluster.api.delete("security-group-rules", rule["id"], ADMIN)
    assert reached(cluster, memory, one, opening) == []


@pytest.mark.parametrize("cidrs", [("10.0.0.0/24", "10.1.0.0/24"), ("fd00::/64", "fd00:1::/64")])
def test_a_leg_behind_a_router_answers_without_a_route_back_on_a_host_that_is_not_told_of_its_router(
    cluster: Cluster, cidrs: tuple[str, str]
) -> None:
    api = cluster.api
    networks = [api.network(ADMIN) for _ in cidrs]
    near, far = (api.create("routers", {}, by=ADMIN) for _ in range(2))
    for network, cidr in zip(networks, cidrs, strict=True):
        api.act(near["id"], "add_router_interface", {"subnet_id": api.subnet(network, cidr, ADMIN)}, by=ADMIN)
    beside = api.port(networks[1], ADMIN)
    api.act(far["id"], "add_router_interface", {"port_id": beside["id"]}, by=ADMIN)
    (leg,) = (each for each in api.list("ports", by=ADMIN) if each["network_id"] == networks[0])
    asking = api.port(networks[0], ADMIN, **{"binding:host_id": "h1"})
    cluster.follow()
    told = cluster.cloud.told("h1")
    assert ("leg", beside["id"]) in told
    assert ("router", far["id"]) not in told
    protocol = ICMPV6 if ":" in cidrs[0] else ICMP
    ping = ip_frame(asking, beside, protocol, 0).but(eth_dst=leg["mac_address"], first=ECHO[protocol], ident=7)
    heard, _ = cluster.send(asking["id"], ping)
    assert [(each.place, each.frame.src, each.frame.first) for each in heard] == [
        (asking["id"], ping.dst, ECHO_REPLY[protocol])
    ]
    assert reached(cluster, Memory(), asking, ping) == [asking["id"]]
    api.update("routers", far["id"], {"admin_state_up": False}, ADMIN)
    cluster.follow()
    assert not cluster.send(asking["id"], ping)[0]
    assert reached(cluster, Memory(), asking, ping) == []


def test_a_trunk_s_parent_is_restricted_with_its_subports(cluster: Cluster) -> None:
    api = cluster.api
    loose = {"port_security_enabled": False, "security_groups": []}
    networks = [api.network(ADMIN) for _ in range(2)]
    for number, network in enumerate(networks):
        api.subnet(network, f"10.{number}.0.0/24", ADMIN)
    parent, subport = (api.port(network, ADMIN, **loose) for network in networks)
    other = api.port(networks[1], ADMIN, **loose, **{"binding:host_id": "h2"})
    seat = {"port_id": subport["id"], "segmentation_type": "vlan", "segmentation_id": 7}
    api.create("trunks", by=ADMIN, port_id=parent["id"], sub_ports=[seat])
    api.update("ports", parent["id"], {"binding:host_id": "h1"}, ADMIN)
    block = {"kind": "port_block", "direction": "egress", "protocol": "udp", "port_min": 9}
    for wanted, open_ports in ((None, [9, 10]), (block, [10]), ({"kind": "quarantine"}, [])):
        if wanted:
            told = restrictions.SPEC.for_create(
                {**wanted, "target_kind": "port", "target": parent["id"], "reason": "spam"}, ADMIN
            )
            api.write(lambda tx, told=told: restrictions.create_restrictions(tx, ADMIN, [told]))  # type: ignore[misc]
        cluster.follow()
        for l4_port in (9, 10):
            frame = ip_frame(subport, other, UDP, l4_port)
            expected = [other["id"]] if l4_port in open_ports else []
            assert reached(cluster, Memory(), subport, frame) == expected
            assert [each.place for each in cluster.send(subport["id"], frame)[0]] == expected


@pytest.mark.parametrize(("cidr", "client", "server"), [("10.7.0.0/24", 68, 67), ("fd00:7::/64", 546, 547)])
def test_who_is_told_no_lease_sends_nothing_from_a_client_s_port_in_quarantine(
    cluster: Cluster, cidr: str, client: int, server: int
) -> None:
    """And before, it is like anything else, though of IPv6 leases are told: they are asked for by multicast (RFC 8415,
    7.1).
    """
    api, network = cluster.api, cluster.api.network(ADMIN)
    api.subnet(network, cidr, ADMIN, enable_dhcp=client == 546)
    loose = {"port_security_enabled": False, "security_groups": []}
    one, other = (api.port(network, ADMIN, **loose, **{"binding:host_id": host}) for host in ("h1", "h2"))
    frame = ip_frame(one, other, UDP, server).but(first=client)
    for expected in ([other["id"]], []):
        cluster.follow()
        assert reached(cluster, Memory(), one, frame) == expected
        assert [each.place for each in cluster.send(one["id"], frame)[0]] == expected
        body = {"kind": "quarantine", "target_kind": "port", "target": one["id"], "reason": "spam"}
        told = restrictions.SPEC.for_create(body, ADMIN)
        api.write(lambda tx, told=told: restrictions.create_restrictions(tx, ADMIN, [told]))  # type: ignore[misc]


def test_the_oracle_knows_a_forged_sender(cluster: Cluster) -> None:
    one, other = guests(cluster, port_security_enabled=False, security_groups=[])
    frame = ip_frame(one, other, UDP, 9)
    forged = [frame.but(src="10.0.0.99"), frame.but(eth_src="02:00:00:00:00:99")]
    assert [reached(cluster, Memory(), one, each) for each in forged] == [[other["id"]]] * 2
    cluster.api.update("ports", one["id"], {"port_security_enabled": True}, ADMIN)
    assert [reached(cluster, Memory(), one, each) for each in forged] == [[], []]


def test_a_local_ip_means_a_port_of_the_asking_host_and_its_answers_come_from_there(cluster: Cluster) -> None:
    one, meant = guests(cluster)
    beside = {"binding:host_id": one["binding:host_id"], "security_groups": []}
    meant = cluster.api.port(one["network_id"], ADMIN, **beside)
    cluster.api.update("ports", meant["id"], {"port_security_enabled": False}, ADMIN)
    local_ip = cluster.api.create("local_ips", by=ADMIN, network_id=one["network_id"])
    below = Below(cluster.api, "local_ips", "port_associations", local_ip["id"])
    memory, asking = Memory(), ip_frame(one, meant, UDP, 53).but(dst=local_ip["local_ip_address"])
    assert reached(cluster, memory, one, asking.but(eth_dst="02:00:00:00:00:99")) == []
    below.create(ADMIN, fixed_port_id=meant["id"])
    assert reached(cluster, memory, one, asking) == [meant["id"]]
    answer = ip_frame(meant, one, UDP, 40000).but(first=53)
    (heard,) = Oracle(cluster.resources(), memory).from_port(meant["id"], answer)
    assert (heard.place, heard.frame.src) == (one["id"], local_ip["local_ip_address"])
    cluster.api.update("ports", meant["id"], {"binding:host_id": "h2"}, ADMIN)
    assert reached(cluster, memory, one, asking.but(eth_dst="02:00:00:00:00:99")) == []


def test_a_local_ip_that_is_to_mean_an_ipv6_address_means_nothing(cluster: Cluster) -> None:
    api = cluster.api
    network = api.network(ADMIN)
    for cidr in ("10.0.0.0/24", "fd00::/64"):
        api.subnet(network, cidr, ADMIN)
    one, other = (api.port(network, ADMIN, **{"binding:host_id": "h1"}) for _ in range(2))
    local_ip = api.create("local_ips", by=ADMIN, network_id=network)
    six = next(fixed["ip_address"] for fixed in other["fixed_ips"] if ":" in fixed["ip_address"])
    below = Below(api, "local_ips", "port_associations", local_ip["id"])
    below.create(ADMIN, fixed_port_id=other["id"], fixed_ip=six)
    cluster.follow()
    ends = {"eth_src": one["mac_address"], "mac": one["mac_address"], "eth_dst": BROADCAST}
    mine = next(fixed["ip_address"] for fixed in one["fixed_ips"] if ":" not in fixed["ip_address"])
    asking = Frame(**ends, what="arp", src=mine, dst=local_ip["local_ip_address"])
    heard, _ = cluster.send(one["id"], asking)
    assert [each.place for each in heard] == [other["id"]], "the question, which the guest has no answer to"
    assert reached(cluster, Memory(), one, asking) == [other["id"]]
