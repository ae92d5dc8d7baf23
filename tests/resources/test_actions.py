"""Each action does what it says, says how it is undone, and is undone."""

from collections.abc import Iterator

import pytest

from suimon.model.incidents import Delivery
from suimon.model.things import FloatingIp, Port
from suimon.resources import actions, remedies
from suimon.resources.actions import ACTIONS, Done
from suimon.resources.subscribers import add_subscriber
from suimon.store.tx import Tx
from tests.resources.world import ADMIN, ALICE, World, refused


class Cloud(World):
    """A port in one group with a floating IP, a router, and a second group."""

    def __init__(self) -> None:
        super().__init__()
        outside, net = self.outside(), self.network()
        subnet = self.subnet(net)
        self.router_id = self.router(external_gateway_info={"network_id": outside})
        self.act(self.router_id, "add_router_interface", {"subnet_id": subnet})
        self.port_id = str(self.port(net)["id"])
        self.floating_id = str(self.create("floatingips", floating_network_id=outside, port_id=self.port_id)["id"])
        self.group = self.get("ports", self.port_id)["security_groups"][0]
        self.other = str(self.create("security-groups", name="other")["id"])
        said = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        made = self.create("security-group-rules", security_group_id=self.group, description="mine", **said)
        self.rule = str(made["id"])

    def do(self, name: str, *row: actions.Value) -> Done:
        action = ACTIONS[name]
        assert action.do
        args = actions.arguments_of(action, row)
        do = action.do
        return self.write(lambda tx: do(tx, ADMIN, args), ADMIN)

    def undo(self, done: Done) -> str:
        assert done.undo is not None
        told = done.undo
        return self.write(lambda tx: actions.undo(tx, ADMIN, told), ADMIN)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


CHANGES = [
    ("neutronv2:attach_port_security_group", "ports", "port_id", ("other",), "security_groups", ["group", "other"]),
    ("suimon:detach_port_security_group", "ports", "port_id", ("group",), "security_groups", []),
    ("suimon:set_security_groups", "ports", "port_id", ("other",), "security_groups", ["other"]),
    ("suimon:set_port_state", "ports", "port_id", (False,), "admin_state_up", False),
    ("suimon:set_router_state", "routers", "router_id", (False,), "admin_state_up", False),
    ("suimon:detach_floating_ip", "floatingips", "floating_id", (), "port_id", None),
]


@pytest.mark.parametrize(("name", "path", "which", "row", "field", "value"), CHANGES)
def test_changed_and_changed_back(
    cloud: Cloud, name: str, path: str, which: str, row: tuple[object, ...], field: str, value: object
) -> None:
    id_ = getattr(cloud, which)
    before = cloud.get(path, id_)
    named = {"group": cloud.group, "other": cloud.other}
    args = [named.get(each, each) if isinstance(each, str) else each for each in row]
    done = cloud.do(name, id_, *args)  # type: ignore[arg-type]
    wanted = [named[each] for each in value] if isinstance(value, list) else value
    assert cloud.get(path, id_)[field] == wanted
    assert cloud.do(name, id_, *args).undo is None, "it is so already"  # type: ignore[arg-type]
    cloud.undo(done)
    after = cloud.get(path, id_)
    for unlike in ("revision_number", "updated_at"):
        before.pop(unlike), after.pop(unlike)
    assert after == before


def test_the_members_of_groups_follow(cloud: Cloud) -> None:
    done = cloud.do("suimon:set_security_groups", cloud.port_id, cloud.other)
    with refused("SecurityGroupInUse"):
        cloud.delete("security-groups", cloud.other)
    cloud.undo(done)
    cloud.delete("security-groups", cloud.other)


def test_a_rule_is_deleted_and_comes_back_as_it_was(cloud: Cloud) -> None:
    before = cloud.get("security-group-rules", cloud.rule)
    done = cloud.do("neutronv2:delete_security_group_rule", cloud.rule)
    with refused("SecurityGroupRuleNotFound"):
        cloud.get("security-group-rules", cloud.rule)
    cloud.undo(done)
    assert cloud.get("security-group-rules", cloud.rule) == before
    with refused("SecurityGroupRuleExists"):
        cloud.undo(done)


@pytest.mark.parametrize("kind", ["port", "router", "security_group", "floating_ip"])
def test_tags_come_and_go(cloud: Cloud, kind: str) -> None:
    ids = {"port": cloud.port_id, "router": cloud.router_id, "security_group": cloud.group}
    path, id_ = actions._PATHS[kind], ids.get(kind, cloud.floating_id)
    added = cloud.do("suimon:add_tag", kind, id_, "seen")
    assert cloud.get(path, id_)["tags"] == ["seen"]
    removed = cloud.do("suimon:remove_tag", kind, id_, "seen")
    assert cloud.get(path, id_)["tags"] == []
    cloud.undo(removed)
    cloud.undo(added)
    assert cloud.get(path, id_)["tags"] == []


def test_what_was_changed_since_is_left_alone(cloud: Cloud) -> None:
    done = cloud.do("suimon:set_port_state", cloud.port_id, False)
    cloud.update("ports", cloud.port_id, {"admin_state_up": True})
    with refused("HTTPConflict", "changed since"):
        cloud.undo(done)
    gone = cloud.do("suimon:set_port_state", cloud.port_id, False)
    cloud.delete("floatingips", cloud.floating_id)
    cloud.delete("ports", cloud.port_id)
    with refused("PortNotFound"):
        cloud.undo(gone)


def test_a_webhook_is_told_a_registered_subscriber(cloud: Cloud) -> None:
    url = "https://pager.example/x"
    cloud.write(lambda tx: add_subscriber(tx, ADMIN, url, "0" * 64), ADMIN)
    cloud.write(lambda tx: add_subscriber(tx, ALICE, "https://mine.example/", "0" * 64), ALICE)
    assert cloud.do("suimon:webhook", url, "wake up").undo is None
    (told,) = cloud.read(lambda tx: tx.select(Delivery))
    assert '"words":"wake up"' in told.body
    assert told.id in told.body
    with refused("HTTPNotFound"):
        cloud.do("suimon:webhook", "https://mine.example/", "a tenant's")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("suimon:rate_limit", (500,)),
        ("suimon:packet_rate_limit", (2,)),
        ("suimon:port_block", ("tcp", 25)),
        ("suimon:quarantine", ()),
    ],
)
def test_restrictions_by_hand_and_released(cloud: Cloud, name: str, values: tuple[actions.Value, ...]) -> None:
    row = (cloud.port_id, *values, 2)
    made = cloud.write(lambda tx: remedies.execute(tx, ADMIN, name, row), ADMIN)
    assert (made.state, made.rule, made.acted_at) == ("restricted", "by-hand", None)
    assert made.ends_at is not None and made.restricted_at is not None
    assert (made.ends_at - made.restricted_at).total_seconds() == 7200
    assert cloud.write(lambda tx: remedies.undo(tx, ADMIN, made.id, "enough"), ADMIN).state == "closed"
    with refused("PolicyNotAuthorized"):
        cloud.write(lambda tx: remedies.execute(tx, ALICE, name, row), ALICE)


def test_what_it_binds(cloud: Cloud) -> None:
    def weight(name: str, *row: actions.Value) -> int:
        return cloud.write(lambda tx: remedies.execute(tx, ADMIN, name, row), ADMIN).weight

    second = cloud.port(cloud.get("ports", cloud.port_id)["network_id"])["id"]
    assert weight("suimon:set_router_state", cloud.router_id, False) == 2
    assert weight("suimon:add_tag", "router", cloud.router_id, "x") == 1
    assert weight("suimon:detach_floating_ip", cloud.floating_id) == 1
    assert weight("suimon:delete_security_group_rule", cloud.rule) == 2

    def left(tx: Tx) -> tuple[str | None, bool]:
        floating, port = tx.get(FloatingIp, cloud.floating_id), tx.get(Port, second)
        assert floating and port
        return floating.port_id, port.admin_state_up

    assert cloud.read(left) == (None, True)
