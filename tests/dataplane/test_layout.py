"""What a layout asks of the database, and what it refuses to touch."""

import pytest

from suimon.dataplane.layout import PROTOCOLS, SERVICES, TUNNELS, Layout, LayoutRefused, Provider, changes, removal
from suimon.dataplane.mirror import Mirror
from suimon.dataplane.orphans import orphans
from suimon.pipeline.services import SERVICES_OFPORT

MARK = ["map", [["suimon-owner", "bridge/br-int"]]]
NO_MARK = ["map", []]


def mirror(bridges: list[tuple[str, object]], ports: list[tuple[str, str, object]]) -> Mirror:
    """(bridge, mark) and (bridge, port, mark); ids are the names."""
    held = Mirror()
    for bridge, mark in bridges:
        mine = ["set", [["uuid", name] for where, name, _ in ports if where == bridge]]
        row = {"name": bridge, "ports": mine, "fail_mode": "secure", "external_ids": mark}
        row |= {"protocols": ["set", list(PROTOCOLS)], "datapath_type": "netdev"}
        held.update({"Bridge": {bridge: _row(row)}})
    for _, name, mark in ports:
        held.update({"Port": {name: _row({"name": name, "interfaces": ["uuid", name], "external_ids": mark})}})
        held.update({"Interface": {name: _row({"name": name, "type": "", "options": NO_MARK, "external_ids": mark})}})
    return held


def _row(columns: dict[str, object]) -> object:
    from suimon.dataplane.ovsdb import RowUpdate

    return RowUpdate(new=columns)


def test_bridges_fail_closed_and_bear_our_mark_in_the_transaction_that_makes_them() -> None:
    layout = Layout(providers=(Provider("public", "eth1"),), tunnel_ip="192.0.2.1", tunnels=("vxlan",))
    operations = changes(layout, Mirror(), "netdev")
    bridges = [one["row"] for one in operations if one["op"] == "insert" and one["table"] == "Bridge"]
    assert [row["name"] for row in bridges] == ["br-int", "br-public"]
    for row in bridges:
        assert row["fail_mode"] == "secure"
        assert "OpenFlow15" in row["protocols"][1]
    inserted = [one["row"] for one in operations if one["op"] == "insert"]
    assert all(row["external_ids"][1][0][0] == "suimon-owner" for row in inserted)
    names = {row["name"] for row in inserted}
    assert names == {"br-int", "br-public", "int-public", "phy-public", "eth1", TUNNELS["vxlan"]}


def test_the_way_to_the_services_has_its_number_and_is_taken_up_anew_only_if_it_is_ours() -> None:
    operations = changes(Layout(services=True), Mirror(), "netdev")
    (wanted,) = [one["row"] for one in operations if one["table"] == "Interface" and one["row"]["name"] == SERVICES]
    assert wanted["ofport_request"] == SERVICES_OFPORT
    ours = mirror([("br-int", MARK)], [("br-int", SERVICES, MARK)])
    (deleted,) = removal(SERVICES, ours)
    assert deleted["mutations"] == [["ports", "delete", ["set", [["uuid", SERVICES]]]]]
    assert removal(SERVICES, mirror([("br-int", MARK)], [("br-int", SERVICES, NO_MARK)])) == []
    assert removal(SERVICES, Mirror()) == []


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (mirror([("br-int", NO_MARK)], []), "not ours"),
        (mirror([("br-int", MARK)], [("br-int", TUNNELS["vxlan"], NO_MARK)]), "not ours"),
        (mirror([("br-int", MARK), ("other", NO_MARK)], [("other", TUNNELS["vxlan"], MARK)]), "on bridge other"),
    ],
)
def test_what_is_not_ours_is_refused_in_words(held: Mirror, why: str) -> None:
    with pytest.raises(LayoutRefused, match=why):
        changes(Layout(tunnel_ip="192.0.2.1", tunnels=("vxlan",)), held, "netdev")


def test_a_name_too_long_for_a_device_is_refused() -> None:
    with pytest.raises(LayoutRefused, match="shorten"):
        changes(Layout(providers=(Provider("a-very-long-name"),)), Mirror(), "netdev")


def test_an_uplink_that_the_operator_plugged_is_taken_as_it_is() -> None:
    held = mirror([("br-int", MARK), ("br-p", MARK)], [("br-p", "eth1", NO_MARK)])
    operations = changes(Layout(providers=(Provider("p", "eth1"),)), held, "netdev")
    assert "eth1" not in str([one for one in operations if one["op"] != "mutate"])


def test_only_what_is_marked_and_nobodys_is_an_orphan() -> None:
    held = mirror(
        [("br-int", MARK), ("br-old", MARK), ("br-theirs", NO_MARK)],
        [
            ("br-int", "int-old", MARK),
            ("br-int", "tap0", NO_MARK),
            ("br-int", TUNNELS["vxlan"], MARK),
            ("br-theirs", "x", NO_MARK),
        ],
    )
    layout, nobody = Layout(tunnel_ip="192.0.2.1", tunnels=("vxlan",)), lambda owner: False
    found = list(orphans(layout, held, nobody))
    assert sorted((one.table, one.name) for one in found) == [("Bridge", "br-old"), ("Port", "int-old")]
    removed = [(one.removal["table"], one.removal["mutations"][0][2][1][0][1]) for one in found]
    assert sorted(removed) == [("Bridge", "int-old"), ("Open_vSwitch", "br-old")]
    assert not list(orphans(layout, mirror([("br-int", MARK)], [("br-int", TUNNELS["vxlan"], MARK)]), nobody))


def test_a_port_of_a_living_owner_is_no_orphan() -> None:
    of = lambda router: ["map", [["suimon-owner", f"router/{router}"]]]  # noqa: E731
    held = mirror([("br-int", MARK)], [("br-int", "sg-1", of("r1")), ("br-int", "sg-2", of("r2"))])
    found = orphans(Layout(), held, lambda owner: owner == "router/r1")
    assert [one.name for one in found] == ["sg-2"]
