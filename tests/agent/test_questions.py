"""`suimon flows` and `suimon why` on a world: what is shown, and which stage and owner a drop is laid to."""

import pytest
from msgspec.structs import replace

from suimon.agent.questions import QuestionError, Why, flows_text, why
from suimon.model.view import FixedIp, Network, Peer, Router, RouterInterface, SecurityGroup, SecurityGroupRule, Subnet
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.world import World
from tests.agent.parts import NETWORK, SUBNET, port

OPEN = SecurityGroup(
    "group", (SecurityGroupRule("out", "egress", "IPv4"), SecurityGroupRule("in", "ingress", "IPv4", 1))
)
OTHER_NET = Network("net2", "vxlan", 200, None, 1450)
OTHER_SUB = Subnet("sub2", "net2", "10.1.0.0/24", "10.1.0.1", True)
ROUTER = Router(
    "r",
    True,
    (
        RouterInterface("i1", "net", "sub", "10.0.0.0/24", "10.0.0.1", "fa:16:3e:00:01:01"),
        RouterInterface("i2", "net2", "sub2", "10.1.0.0/24", "10.1.0.1", "fa:16:3e:00:01:02"),
    ),
)
FAR = Peer("far", "net", "fa:16:3e:00:02:01", ("10.0.0.99",), "h2", "192.0.2.2")
FARTHER = Peer("farther", "net2", "fa:16:3e:00:02:02", ("10.1.0.99",), "h2", "192.0.2.2")


@pytest.fixture
def world():
    made = World("h1", Numbers())
    for each in (NETWORK, SUBNET, OPEN, OTHER_NET, OTHER_SUB, ROUTER, FAR, FARTHER, port(1), port(2)):
        made.set(each)
    made.wire({"vxlan": 20}, {})
    made.plug("p1", 1)
    made.plug("p2", 2)
    return made


def said(world, **question):
    return "\n".join(why(world, Why("p1", **question)))


def test_flows_are_named_by_stage_and_owner_and_a_ports_are_its_own(world):
    everything, own = flows_text(world), flows_text(world, "p1")
    assert any("stage=classify" in each and "owner=port/p2" in each for each in everything)
    assert own
    assert set(own) < set(everything)
    assert not any("port/p2" in each for each in own)


@pytest.mark.parametrize("lie", [{"as_mac": "02:66:6F:72:67:65"}, {"as_ip": "10.0.0.12"}])
def test_a_guest_that_claims_to_be_another_is_dropped_by_its_own_port(world, lie):
    assert "Dropped in antispoof" in said(world, to="10.0.0.99", **lie)
    assert "Dropped" not in said(world, to="10.0.0.99", as_mac="fa:16:3e:00:00:01", as_ip="10.0.0.11")


def test_a_claim_that_is_no_address_or_in_the_wrong_direction_is_refused(world):
    for wrong in ({"as_mac": "x"}, {"as_ip": "x"}):
        with pytest.raises(QuestionError, match="is not a"):
            said(world, to="10.0.0.99", **wrong)
    with pytest.raises(QuestionError, match="ask with --to"):
        said(world, source="10.0.0.99", as_ip="10.0.0.12")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"to": "10.0.0.12"}, "port 2 is the interface of port p2"),
        ({"to": "10.0.0.99"}, "port 20 is the tunnel"),
        ({"to": "10.1.0.99"}, "port 20 is the tunnel"),
        ({"source": "10.0.0.12"}, "port 1 is the interface of port p1"),
        ({"source": "10.0.0.99"}, "port 1 is the interface of port p1"),
        ({"source": "10.1.0.99"}, "port 1 is the interface of port p1"),
    ],
)
def test_a_packet_that_is_allowed_is_followed_to_where_it_leaves(world, question, words):
    assert words in said(world, **question)


def test_a_drop_is_laid_to_its_stage(world):
    for source in ("10.0.0.12", "10.0.0.99", "10.1.0.99"):
        lines = said(world, source=source, protocol="tcp", l4_port=22).splitlines()
        assert any(
            line.startswith("Dropped in allow_in") or line.startswith("Dropped in group_in") for line in lines
        ), lines


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Why("p9"), "no port"),
        (Why("p"), "name one"),
        (Why("p1", to="10.0.0.50"), "ARP gets no answer"),
        (Why("p1", to="nonsense"), "not an IP address"),
        (Why("p1"), "one direction"),
        (Why("p1", to="10.0.0.12", protocol="tcp"), "needs --port"),
        (Why("p1", to="10.0.0.12", protocol="gre"), "none of"),
        (Why("p1", source="10.0.0.50"), "knows no port"),
        (Why("p1", to="10.0.0.12", source="10.0.0.12"), "one direction"),
    ],
)
def test_a_question_without_an_answer_says_why(world, question, words):
    with pytest.raises(QuestionError, match=words):
        why(world, question)


def test_the_same_address_on_a_network_of_another_tenant_is_not_the_sender(world):
    world.set(Network("theirs", "vxlan", 300, None, 1450))
    world.set(Peer("a-stranger", "theirs", "fa:16:3e:00:09:09", ("10.0.0.99",), "h3", "192.0.2.3"))
    world.set(replace(port(9), id="0-stranger", network_id="theirs", fixed_ips=(FixedIp("sub3", "10.1.0.99"),)))
    world.plug("0-stranger", 9)
    assert "tun_src=192.0.2.2" in said(world, source="10.0.0.99")
    assert "port/0-stranger" not in said(world, source="10.1.0.99")


def test_only_the_interfaces_on_the_way_are_named(world):
    world.plug("p2", 12)
    world.wire({"vxlan": 1}, {})
    assert "port 12 is the interface of port p2" in said(world, to="10.0.0.12")
    assert "the tunnel" not in said(world, to="10.0.0.12")


def test_a_port_that_is_down_sends_nothing(world):
    world.set(replace(port(1), up=False))
    with pytest.raises(QuestionError, match="the port p1 is administratively down"):
        said(world, to="10.0.0.12")
    world.set(port(1))
    world.set(replace(NETWORK, up=False))
    with pytest.raises(QuestionError, match="the network of port p1 is administratively down"):
        said(world, to="10.0.0.12")


def test_an_unplugged_port_sends_nothing(world):
    world.plug("p1", None)
    with pytest.raises(QuestionError, match="no interface"):
        said(world, to="10.0.0.12")
