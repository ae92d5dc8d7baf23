"""Joining, being accepted and removed, and what a host may say of ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from suimon.model import view
from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from suimon.model.things import FloatingIp, Host, Network, Port
from suimon.resources import hosts
from suimon.store.store import Store, StoreConfig
from suimon.store.tx import Tx

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = Actor("u", "p", frozenset({"member"}))
HOUR = timedelta(hours=1)
Run = Callable[[Callable[[Tx], Any]], Any]


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Run, list[datetime]]]:
    """Runs acts in transactions of their own; the list's last time is now."""
    times = [NOW]
    store = Store(StoreConfig(url=f"sqlite:///{folder}/suimon.db"), lambda: times[-1])
    store.open()
    try:
        yield lambda act: asyncio.run(store.write(act, SYSTEM)), times
    finally:
        store.close()


@pytest.fixture(name="cloud")
def _cloud(tmp_path: Path) -> Iterator[tuple[Run, list[datetime]]]:
    with opened(tmp_path) as cloud:
        yield cloud


def join(
    name: str = "hv1", tunnel_ip: str | None = "192.0.2.1", token: str = "t", **fields: Any
) -> Callable[[Tx], Host]:
    wanted = view.Join(token=token, host=name, tunnel_ip=tunnel_ip, **fields)
    return lambda tx: hosts.join_host(tx, wanted, hosts.secret_hash(f"credential-{name}-{token}"))


def token(secret: str = "t", host: str = "") -> Callable[[Tx], Any]:
    return lambda tx: hosts.create_join_token(tx, SYSTEM, secret, HOUR, host)


def test_a_token_lets_one_host_in_once(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    run(token())
    assert run(join(physnets=("public",))).physnets == ("public",)
    with pytest.raises(Unauthorized, match="used already"):
        run(join("hv2", "192.0.2.2"))
    assert run(lambda tx: hosts.find_host(tx, "credential-hv1-t")).name == "hv1"
    assert run(lambda tx: hosts.find_host(tx, "t")) is None
    assert run(lambda tx: hosts.find_host(tx, "")) is None


def test_a_token_expires_and_is_cleared_away(cloud: tuple[Run, list[datetime]]) -> None:
    run, times = cloud
    run(token())
    times.append(NOW + HOUR)
    with pytest.raises(Unauthorized):
        run(join())
    times.append(NOW + 2 * HOUR)
    run(token("other"))
    assert [each.id for each in run(lambda tx: tx.select(hosts.JoinToken))] == [hosts.secret_hash("other")]


def test_a_token_for_a_name_is_for_no_other(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    run(token(host="hv2"))
    with pytest.raises(Unauthorized, match="another host"):
        run(join("hv1"))
    run(join("hv2"))


def test_joining_again_needs_a_token_for_that_name_and_replaces_the_credential(
    cloud: tuple[Run, list[datetime]],
) -> None:
    run, _ = cloud
    for secret, host in (("t", ""), ("any", ""), ("named", "hv1")):
        run(token(secret, host))
    run(join())
    with pytest.raises(Conflict, match="joined already"):
        run(join(token="any"))
    run(join(token="named"))
    assert run(lambda tx: hosts.find_host(tx, "credential-hv1-t")) is None
    assert run(lambda tx: hosts.find_host(tx, "credential-hv1-named")).name == "hv1"


@pytest.mark.parametrize(
    ("name", "tunnel_ip", "physnets"),
    [
        ("", "192.0.2.1", ()), ("a b", "192.0.2.1", ()), ("-a", "192.0.2.1", ()), ("a" * 254, "192.0.2.1", ()),
        ("hv1\n", "192.0.2.1", ()), ("hv1", "192.0.2", ()), ("hv1", "224.0.0.1", ()), ("hv1", "0.0.0.0", ()),
        ("hv1", "127.0.0.1", ()), ("hv1", "255.255.255.255", ()), ("hv1", "::1", ()), ("hv1", "192.0.2.1", ("a b",)),
        ("hv1", "192.0.2.1", tuple(map(str, range(65)))),
    ],
)  # fmt: skip
def test_impossible_names_and_addresses_are_refused_and_the_token_stays_good(
    cloud: tuple[Run, list[datetime]], name: str, tunnel_ip: str, physnets: tuple[str, ...]
) -> None:
    run, _ = cloud
    run(token())
    with pytest.raises(BadRequest):
        run(join(name, tunnel_ip, physnets=physnets))
    run(join())


def test_names_that_differ_in_case_only_are_one(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    for secret, host in (("t", ""), ("t2", ""), ("named", "HV1")):
        run(token(secret, host))
    run(join())
    for secret in ("t2", "named"):
        with pytest.raises(Conflict, match="can't be told from hv1"):
            run(join("HV1", "192.0.2.2", secret))


def test_a_tunnel_address_is_one_hosts(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    for secret in ("t", "t2"):
        run(token(secret))
    run(join())
    with pytest.raises(Conflict, match="that of host hv1"):
        run(join("hv2", token="t2"))
    run(join("hv2", None, token="t2"))


@pytest.mark.parametrize(
    "act",
    [
        lambda tx: hosts.create_join_token(tx, TENANT, "t", HOUR),
        lambda tx: hosts.list_hosts(tx, TENANT),
        lambda tx: hosts.accept_host(tx, TENANT, "hv1"),
        lambda tx: hosts.delete_host(tx, TENANT, "hv1"),
    ],
)
def test_hosts_are_for_operators(cloud: tuple[Run, list[datetime]], act: Callable[[Tx], Any]) -> None:
    with pytest.raises(Forbidden):
        cloud[0](act)


def logged(run: Run, revision: int) -> list[tuple[str, str, str]]:
    """What hosts have to look at again since."""
    changes = run(lambda tx: tx.changes_after(revision))
    return [(change.kind, change.id, change.scope) for change in changes if change.scope]


def _fill(tx: Tx) -> None:
    stamps = {"project_id": "p", "created_at": NOW, "updated_at": NOW}
    tx.insert(Network(id="n", segment=1, **stamps))
    for id_, host in (("p1", "hv1"), ("p2", "hv2"), ("f", "")):
        tx.insert(Port(id=id_, network_id="n", mac_address=f"mac-{id_}", binding_host=host, **stamps))
    outside = {"floating_network_id": "n", "floating_ip_address": "203.0.113.1", "floating_port_id": "f"}
    tx.insert(FloatingIp(id="fip", port_id="p1", fixed_ip_address="10.0.0.5", **outside, **stamps))


def test_a_host_sets_the_status_of_its_own_ports_and_of_their_floating_ips(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    run(_fill)
    reports = [view.PortReport("p1", "ACTIVE"), view.PortReport("p2", "ACTIVE"), view.PortReport("gone", "ACTIVE")]
    assert [port.id for port in run(lambda tx: hosts.set_port_status(tx, "hv1", reports))] == ["p1"]
    assert run(lambda tx: [port.status for port in tx.select(Port, order=("id",))]) == ["DOWN", "ACTIVE", "DOWN"]
    assert run(lambda tx: tx.get(FloatingIp, "fip").status) == "ACTIVE"
    down = [view.PortReport("p1", "DOWN", "the switch refused a meter")]
    run(lambda tx: hosts.set_port_status(tx, "hv1", down))
    port = run(lambda tx: tx.get(Port, "p1"))
    assert (port.status, port.status_reason) == ("DOWN", "the switch refused a meter")
    assert run(lambda tx: tx.get(FloatingIp, "fip").status) == "DOWN"


def test_a_status_that_is_known_is_not_written_again(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    run(_fill)
    before = run(lambda tx: tx.position()[2])
    assert run(lambda tx: hosts.set_port_status(tx, "hv1", [view.PortReport("p1", "DOWN")])) == []
    assert run(lambda tx: tx.position()[2]) == before


def test_a_host_with_ports_stays(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    run(_fill)
    run(token())
    run(join())
    with pytest.raises(Conflict, match="p1"):
        run(lambda tx: hosts.delete_host(tx, SYSTEM, "hv1"))
    run(lambda tx: tx.change(tx.get(Port, "p1"), binding_host=""))
    run(lambda tx: hosts.delete_host(tx, SYSTEM, "hv1"))
    for act in (hosts.delete_host, hosts.accept_host):
        with pytest.raises(NotFound):
            run(lambda tx, act=act: act(tx, SYSTEM, "hv1"))


def test_an_acceptance_is_for_this_epoch_until_it_ends(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    run(token())
    run(join())
    for _ in range(2):
        before = run(lambda tx: tx.position()[2])
        assert run(lambda tx: hosts.accept_host(tx, SYSTEM, "hv1")).accepted_epoch == 1
        assert logged(run, before) == [("accept", "hv1", "host:hv1")]
    run(lambda tx: hosts.end_acceptance(tx, "hv1"))
    assert run(lambda tx: tx.get(Host, "hv1")).accepted_epoch == 0


def test_another_tunnel_address_touches_the_peers_of_the_hosts_ports(cloud: tuple[Run, list[datetime]]) -> None:
    run, _ = cloud
    run(_fill)
    run(token())
    run(token("named", "hv1"))
    before = run(lambda tx: tx.position()[2])
    run(join())
    run(join(token="named", tunnel_ip="192.0.2.9"))
    assert logged(run, before) == [("peer", "p1", "peers:n")] * 2
