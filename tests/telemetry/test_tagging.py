"""Whose records are, by the interface, the MAC and the address, and whose they are not."""

import random
from ipaddress import ip_address

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from suimon.model import loops
from suimon.model.collectors import MappedPort
from suimon.model.records import RECORD, batch_of
from suimon.telemetry.history import tagging
from suimon.telemetry.history.tagging import Tagger

HOSTS = {"h1": "192.0.2.1", "h2": "192.0.2.2"}
COMPILED = tagging._LIBRARY
SWITCH = "192.0.2.100"
EXPORTERS = [ip_address(each) for each in (*HOSTS.values(), SWITCH)]


@pytest.fixture(autouse=True, params=["compiled", "numpy"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of these hold for what is compiled and for numpy alone."""
    assert COMPILED is not None, "the tests' machine has a compiler"
    if request.param == "numpy":
        monkeypatch.setattr(tagging, "_LIBRARY", None)


def port(name: str, host: str, ifindex: int, mac: int, *addresses: str, project: str = "p") -> MappedPort:
    return MappedPort(name, project, "n", host, HOSTS[host], ifindex, f"02:00:00:00:00:{mac:02x}", addresses)


PORTS = (
    port("a", "h1", 5, 1, "10.0.0.1"),
    port("b", "h1", 6, 2, "10.0.0.2", "203.0.113.2"),
    port("far", "h2", 5, 3, "10.0.0.3"),
    port("sub", "h1", 5, 4, "10.9.0.4"),
    port("twin", "h2", 8, 9, "10.0.0.1", project="q"),
    port("same1", "h1", 11, 8, "2001:db8::1", project="q"),
    port("same2", "h1", 12, 8, "2001:db8::1", project="q"),
)


@pytest.mark.parametrize(
    ("record", "tags"),
    [
        pytest.param("h1 in=5 to=2", {("a", 1), ("b", 2)}, id="two guests of a host: one record for each"),
        pytest.param("h1 in=5 to=3", {("a", 1)}, id="a guest elsewhere: its host tells that it came"),
        pytest.param("h2 in=99 from=1 to=3", {("far", 2)}, id="what comes by a tunnel"),
        pytest.param("h1 in=5 from=4 to=250", {("sub", 1)}, id="a trunk's subport, by its MAC"),
        pytest.param("h1 in=5 from=2 to=250", {("a", 1)}, id="a forged MAC is still what that interface sent"),
        pytest.param("h1 in=5 to=250 at=10.0.0.2", {("a", 1), ("b", 2)}, id="through a router, by the address"),
        pytest.param("h1 in=6 to=250 at=10.0.0.1", {("b", 1), ("a", 2)}, id="an address that another project has too"),
        pytest.param("h1 in=5 to=250 at=10.0.0.3", {("a", 1)}, id="through a router, to a guest elsewhere"),
        pytest.param("h1 in=3 to=250 at=203.0.113.2", {("b", 2)}, id="from outside, by a floating IP"),
        pytest.param("h1 in=3 to=250 at=10.0.0.1", set(), id="two have the address: nobody's"),
        pytest.param("h1 in=3 to=8", set(), id="two have the MAC: nobody's"),
        pytest.param("h1 in=11 to=250 at=2001:db8::1", {("same1", 1)}, id="one project has the address twice"),
        pytest.param("h1 in=5 out=6 to=250", {("a", 1), ("b", 2)}, id="where it leaves, if that is told"),
        pytest.param("h1 in=5 to=1", {("a", 1)}, id="to itself"),
        pytest.param("h2 in=6 to=250", set(), id="an interface of another host"),
        pytest.param("switch in=5 from=1 to=3", {("a", 1), ("far", 2)}, id="a physical switch, by MACs"),
        pytest.param("switch in=5 at=203.0.113.2", {("b", 2)}, id="a physical switch, by an address"),
        pytest.param("switch in=5 from=250 at=10.0.0.1", set(), id="nobody's at a physical switch"),
    ],
)
def test_a_record_is_its_port_s(record: str, tags: set[tuple[str, int]]) -> None:
    exporter, *said = record.split()
    values = dict(each.split("=") for each in said)
    batch = batch_of(2)
    batch["exporter"] = [*HOSTS, "switch"].index(exporter)
    batch["input"], batch["output"] = int(values.get("in", 0)), int(values.get("out", 0x40000100))
    for side, name in (("source", "from"), ("destination", "to")):
        batch[f"{side}_mac"] = 0x020000000000 + int(values[name]) if name in values else 0
    at = int(ip_address(values.get("at", "198.51.100.1")))
    batch["destination_high"], batch["destination_low"] = at >> 64, at & 0xFFFFFFFFFFFFFFFF
    batch["bytes"] = 100
    tagger = Tagger(PORTS, EXPORTERS)
    tagged = tagger.tag(batch)
    found = [(tagger.ports[row["port"]].id, int(row["direction"])) for row in tagged.rows() if row["port"] >= 0]
    assert sorted(found) == sorted([*tags, *tags])
    assert len(tagged) == 2 * max(len(tags), 1) and set(tagged["bytes"]) == {100}


def test_nobody_can_choose_macs_or_addresses_that_meet_in_a_table() -> None:
    if not loops.compiled():
        pytest.skip("numpy has no tables")
    low, prefix = np.arange(1 << 18, dtype=np.uint64), 0x20010DB8 << 32
    addresses, macs = (low[place_if_all_were_known(high, low) == 0][:200].tolist() for high in (prefix, 0))
    assert len(addresses) == len(macs) == 200
    ports = [
        MappedPort(f"p{n}", "p", "n", "h1", HOSTS["h1"], n + 1, f"{mac:012x}", (str(ip_address(prefix << 64 | at)),))
        for n, (mac, at) in enumerate(zip(macs, addresses, strict=True))
    ]
    tagger = Tagger(ports, EXPORTERS)
    for lookup in (tagger._macs, tagger._any_mac, tagger._address, tagger._own_address):
        _, slots = lookup._index.table
        assert max(map(len, (slots >= 0).tobytes().split(b"\0"))) < 60, "so many are looked at in a row"


def place_if_all_were_known(high: int, low: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Where in a table of 1024 places each is that belongs to project 0, if nothing were salted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tagging, "_SALT", 0)
        keys = tagging._mix(np.full(len(low), high, np.uint64), low)
    # A table's hash is what `mixed` does after it has multiplied.
    return loops.mixed(keys * np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64)), np.uint64(0)) % np.uint64(1024)


def test_nobody_can_choose_an_address_that_is_taken_for_another_project_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """By arithmetic: if nothing were salted, one of project 1 would have the key of 10.0.0.1 in project 0."""
    first, second, _ = map(int, tagging._MULTIPLIERS)
    prefix, most = 0x20010DB8 << 32, 1 << 64
    high, key = prefix * first % most, int(ip_address("10.0.0.1")) * second % most
    wanted = key ^ key >> 29 ^ 1
    low = (wanted ^ wanted >> 29 ^ wanted >> 58) * pow(second, -1, most) % most ^ high ^ high >> 29
    liar = port("liar", "h1", 30, 30, str(ip_address(prefix << 64 | low)), project="q")
    tagger, batch = Tagger((*PORTS, liar), EXPORTERS), batch_of(1)
    batch["exporter"], batch["input"], batch["destination_low"] = 0, 6, int(ip_address("10.0.0.1"))
    tagged = tagger.tag(batch)
    assert [tagger.ports[each].id for each in tagged["port"]] == ["b", "a"]
    monkeypatch.setattr(tagging, "_SALT", 0)
    assert len(Tagger((*PORTS, liar), EXPORTERS).tag(batch)) == 1, "it would have been"


def test_an_address_that_two_hosts_claim_is_neither_s() -> None:
    liar = msgspec.structs.replace(port("liar", "h2", 5, 6), exporter=HOSTS["h1"])
    batch = batch_of(1)
    batch["exporter"], batch["input"] = 0, 5
    assert list(Tagger((*PORTS, liar), EXPORTERS).tag(batch)["port"]) == [-1]


def test_without_ports_or_records_nothing_is_tagged() -> None:
    assert list(Tagger((), EXPORTERS).tag(batch_of(3))["port"]) == [-1] * 3
    assert len(Tagger(PORTS, EXPORTERS).tag(batch_of(0))) == 0
    unknown = batch_of(1)
    unknown["exporter"] = 7
    assert list(Tagger(PORTS, EXPORTERS).tag(unknown)["port"]) == [-1]


def test_ports_of_which_nothing_but_the_mac_is_known() -> None:
    batch = batch_of(2)
    batch["destination_mac"] = [0x020000000001, 0x020000000002]
    assert list(Tagger((port("bare", "h1", 0, 1),), EXPORTERS).tag(batch)["port"]) == [0, -1]


@pytest.mark.parametrize("macs", [False, True], ids=["no MACs", "MACs"])
def test_what_is_compiled_finds_what_numpy_finds(*, macs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "_LIBRARY", COMPILED)
    tagger, chance, count = Tagger(PORTS, EXPORTERS), np.random.default_rng(3), 4000
    of_ports = [int(ip_address(each)) for port in PORTS for each in port.addresses] + [0, 1 << 64]
    batch, other = batch_of(count), batch_of(count)
    batch["exporter"] = chance.integers(0, 5, count)
    for name in ("input", "output"):
        batch[name] = chance.choice([0, 1, 5, 6, 8, 11, 12, 0xFFFFFFFF], count)
    for side in ("source", "destination"):
        at = chance.integers(0, len(of_ports), count).tolist()
        batch[f"{side}_high"] = [of_ports[each] >> 64 for each in at]
        batch[f"{side}_low"] = [of_ports[each] & 0xFFFFFFFFFFFFFFFF for each in at]
        batch[f"{side}_mac"] = chance.choice([0, 0x020000000000, 1 << 47], count) + chance.integers(0, 11, count) * macs
    for name in RECORD.names or ():
        other[name] = batch[name]
    compiled, plain = tagger._tag_compiled(batch), tagger._tag_plainly(other)
    assert [each.tolist() for each in compiled] == [each.tolist() for each in plain] and len(plain[0])
    assert batch.rows().tobytes() == other.rows().tobytes()


AT = [int(ip_address(each)) for port in PORTS for each in port.addresses]
APART = [msgspec.structs.replace(port, ifindex=20 + number) for number, port in enumerate(PORTS)]
"""Of two ports on one interface it may be either."""


def every(tagger: Tagger) -> list[tuple[int, str]]:
    """What becomes of records of each exporter, interface, MAC and address."""
    told = [(e, i, m, a) for e in range(3) for i in range(20, 27) for m in range(10) for a in AT]
    batch = batch_of(len(told))
    batch["exporter"], batch["input"], mac, at = zip(*told, strict=True)
    batch["source_mac"] = batch["destination_mac"] = [0x020000000000 + each for each in mac]
    batch["destination_high"] = [each >> 64 for each in at]
    batch["destination_low"] = [each & 0xFFFFFFFFFFFFFFFF for each in at]
    tagged = tagger.tag(batch)
    return [(int(row["direction"]), tagger.ports[row["port"]].id if row["port"] >= 0 else "") for row in tagged.rows()]


def test_changed_step_by_step_it_is_as_one_that_was_made_whole() -> None:
    drawn = random.Random(4)
    present: dict[str, MappedPort] = {}
    tagger = Tagger((), EXPORTERS)
    for _ in range(30):
        moved = [(port, drawn.choice([*HOSTS])) for port in drawn.sample(APART, drawn.randrange(3))]
        ports = {port.id: msgspec.structs.replace(port, host=to, exporter=HOSTS[to]) for port, to in moved}
        gone = [name for name in present if name not in ports and drawn.random() < 0.3]
        before, was = tagger, every(tagger)
        tagger = tagger.after([*gone, "never there"], ports.values())
        present = {name: port for name, port in present.items() if name not in gone} | ports
        whole = Tagger(present.values(), EXPORTERS)
        assert every(tagger) == every(whole)
        assert tagger.sources == whole.sources == {port.exporter for port in present.values()}
        assert every(before) == was, "records that wait are tagged by it"
    assert len(tagger.ports) <= len(APART), "places are taken again"
