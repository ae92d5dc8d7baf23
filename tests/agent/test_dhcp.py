"""DHCP answers, read back by scapy (another implementation), and what strangers can send."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from suimon.agent.dhcp import DhcpError, Message, answer, links
from suimon.model.view import FixedIp, Network, Port, Route, Subnet

MAC = "fa:16:3e:00:00:01"
NETWORK = Network("net", "vxlan", 100, None, mtu=1450)
SUBNET = Subnet("sub", "net", "10.0.0.0/24", "10.0.0.1", dhcp=True, dns=("9.9.9.9", "2620:fe::fe", "1.1.1.1"))
SECOND = Subnet("sub2", "net", "10.1.0.0/16", None, dhcp=True)
SILENT = Subnet("sub3", "net", "10.2.0.0/16", "10.2.0.1", dhcp=False)
PORT = Port("port", "h1", "net", MAC, (FixedIp("sub", "10.0.0.5"),))
SUBNETS = {each.id: each for each in (SUBNET, SECOND, SILENT)}


def served(port=PORT, subnets=SUBNETS, network=NETWORK, routed=("10.0.0.1",)):
    return links(port, subnets, network, 86400, routed)


def request(kind, *options, mac=MAC, ciaddr="0.0.0.0", flags=0, xid=0x1234):
    bootp = BOOTP(chaddr=bytes.fromhex(mac.replace(":", "")), xid=xid, ciaddr=ciaddr, flags=flags)
    dhcp = DHCP(options=[("message-type", kind), *options, "end"])
    return bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src=ciaddr) / UDP(sport=68, dport=67) / bootp / dhcp)


def ask(kind, *options, served=None, **more):
    """The answer's frame and its options as scapy reads them; (None, None) if there is none."""
    raw = answer(request(kind, *options, **more), MAC, globals()["served"]() if served is None else served)
    if raw is None:
        return None, None
    frame = Ether(raw)
    sums = frame[IP].chksum, frame[UDP].chksum
    del frame[IP].chksum, frame[UDP].chksum
    rebuilt = Ether(bytes(frame))
    assert sums == (rebuilt[IP].chksum, rebuilt[UDP].chksum), "checksums"
    options = {
        each[0]: each[1:] if len(each) > 2 else each[1] for each in frame[DHCP].options if isinstance(each, tuple)
    }
    return frame, options


def test_a_discover_is_offered_the_ports_address_and_all_it_must_know():
    frame, options = ask("discover")
    assert (frame[BOOTP].yiaddr, frame[BOOTP].xid, frame[BOOTP].op) == ("10.0.0.5", 0x1234, 2)
    assert (frame.dst, frame[IP].src, frame[IP].dst) == (MAC, "10.0.0.1", "10.0.0.5")
    assert (frame[UDP].sport, frame[UDP].dport) == (67, 68)
    assert options == {
        "message-type": 2,
        "server_id": "10.0.0.1",
        "lease_time": 86400,
        "renewal_time": 43200,
        "rebinding_time": 75600,
        "subnet_mask": "255.255.255.0",
        "router": "10.0.0.1",
        "interface-mtu": 1450,
        "name_server": ("9.9.9.9", "1.1.1.1"),
    }


def test_a_client_that_cannot_take_unicast_yet_is_answered_by_broadcast():
    frame, _ = ask("discover", flags=0x8000)
    assert (frame.dst, frame[IP].dst) == ("ff:ff:ff:ff:ff:ff", "255.255.255.255")


ACK, NAK = 5, 6


@pytest.mark.parametrize(
    ("options", "ciaddr", "kind"),
    [
        pytest.param([("server_id", "10.0.0.1"), ("requested_addr", "10.0.0.5")], "0.0.0.0", ACK, id="selecting"),
        pytest.param(
            [("server_id", "10.0.0.1"), ("requested_addr", "10.0.0.9")], "0.0.0.0", NAK, id="selecting wrongly"
        ),
        pytest.param([("requested_addr", "10.0.0.5")], "0.0.0.0", ACK, id="reboot"),
        pytest.param([("requested_addr", "192.168.1.5")], "0.0.0.0", NAK, id="reboot with another network's address"),
        pytest.param([("requested_addr", "10.0.0.6")], "0.0.0.0", NAK, id="reboot with another port's address"),
        pytest.param([], "10.0.0.5", ACK, id="renewing"),
        pytest.param([], "10.0.0.6", NAK, id="renewing an address that it lost"),
        pytest.param([], "0.0.0.0", NAK, id="asking for nothing"),
    ],
)
def test_a_request_gets_the_ports_address_or_a_nak(options, ciaddr, kind):
    frame, told = ask("request", *options, ciaddr=ciaddr)
    assert told["message-type"] == kind
    if kind == ACK:
        assert (frame[BOOTP].yiaddr, frame[BOOTP].ciaddr) == ("10.0.0.5", ciaddr)
        assert told["lease_time"] == 86400
    else:
        assert (frame[BOOTP].yiaddr, frame[IP].dst) == ("0.0.0.0", "255.255.255.255")
        assert set(told) == {"message-type", "server_id"}


def test_a_request_to_another_server_is_left_to_it():
    assert ask("request", ("server_id", "10.9.9.9"), ("requested_addr", "10.0.0.5")) == (None, None)


@pytest.mark.parametrize("kind", ["decline", "release"])
def test_what_would_change_a_lease_changes_nothing(kind):
    assert ask(kind, ("server_id", "10.0.0.1"), ("requested_addr", "10.0.0.5")) == (None, None)


def test_an_inform_gets_the_configuration_without_a_lease():
    frame, options = ask("inform", ciaddr="10.0.0.5")
    assert (options["message-type"], frame[BOOTP].yiaddr, frame[IP].dst) == (ACK, "0.0.0.0", "10.0.0.5")
    assert "lease_time" not in options
    assert options["interface-mtu"] == 1450


def test_host_routes_come_as_classless_routes_with_the_default_and_then_without_router():
    subnet = Subnet("sub", "net", "10.0.0.0/24", "10.0.0.1", dhcp=True, routes=(Route("10.8.0.0/13", "10.0.0.254"),))
    link = served(subnets={"sub": subnet})
    expected = bytes([13, 10, 8, 10, 0, 0, 254, 0, 10, 0, 0, 1])
    raw = answer(request("discover", ("param_req_list", [1, 3, 121])), MAC, link)
    told = Message.parse(bytes(Ether(raw)[UDP].payload)).options
    assert told[121] == expected
    assert 3 not in told
    unaware = Message.parse(
        bytes(Ether(answer(request("discover", ("param_req_list", [1, 3])), MAC, link))[UDP].payload)
    ).options
    assert 121 not in unaware
    assert unaware[3] == bytes([10, 0, 0, 1])


def test_a_subnet_without_gateway_gives_no_router_and_answers_from_link_local():
    port = Port("port", "h1", "net", MAC, (FixedIp("sub2", "10.1.0.7"),))
    frame, options = ask("discover", served=served(port))
    assert (frame[BOOTP].yiaddr, frame[IP].src, options["server_id"]) == (
        "10.1.0.7",
        "169.254.169.254",
        "169.254.169.254",
    )
    assert "router" not in options


def test_a_client_may_choose_among_the_ports_addresses():
    port = Port(
        "port", "h1", "net", MAC, (FixedIp("sub", "10.0.0.5"), FixedIp("sub2", "10.1.0.7"), FixedIp("sub3", "10.2.0.9"))
    )
    assert ask("discover", served=served(port))[0][BOOTP].yiaddr == "10.0.0.5"
    assert ask("discover", ("requested_addr", "10.1.0.7"), served=served(port))[0][BOOTP].yiaddr == "10.1.0.7"
    assert ask("request", ("requested_addr", "10.1.0.7"), served=served(port))[1]["message-type"] == ACK
    assert ask("request", ("requested_addr", "10.2.0.9"), served=served(port))[1]["message-type"] == NAK, (
        "subnet without DHCP"
    )


def test_a_port_without_a_dhcp_subnet_gets_no_answer():
    port = Port("port", "h1", "net", MAC, (FixedIp("sub3", "10.2.0.9"),))
    assert answer(request("discover"), MAC, served(port)) is None


@pytest.mark.parametrize(
    ("dns", "told"),
    [
        ((), "169.254.169.254"),
        (("2620:fe::fe",), "169.254.169.254"),
        (("9.9.9.9",), "9.9.9.9"),
        (("0.0.0.0",), None),
    ],
)
def test_the_resolver_is_the_subnets_or_the_hosts_own(dns, told):
    subnet = Subnet("sub", "net", "10.0.0.0/24", "10.0.0.1", dhcp=True, dns=dns)
    assert ask("discover", served=served(subnets={"sub": subnet}))[1].get("name_server") == told


def test_names_are_told_when_there_are_any():
    port = Port("port", "h1", "net", MAC, (FixedIp("sub", "10.0.0.5"),), dns_name="web")
    network = Network("net", "vxlan", 100, None, mtu=1450, dns_domain="cloud.example.")
    _, options = ask("discover", served=served(port, network=network))
    assert (options["hostname"], options["domain"]) == (b"web", b"cloud.example")


def test_where_no_router_is_the_gateway_the_metadata_is_on_the_link():
    """RFC 3442 writes the next hop of what is on the link as 0.0.0.0."""
    metadata = bytes([32, 169, 254, 169, 254, 0, 0, 0, 0])
    wants = ("param_req_list", [1, 3, 121])
    port = Port("port", "h1", "net", MAC, (FixedIp("sub2", "10.1.0.7"),))
    for own, expected in ((served(port), metadata), (served(routed=()), metadata + bytes([0, 10, 0, 0, 1]))):
        told = Message.parse(bytes(Ether(answer(request("discover", wants), MAC, own))[UDP].payload)).options
        assert told[121] == expected
        assert 3 not in told
    assert (
        121 not in Message.parse(bytes(Ether(answer(request("discover", wants), MAC, served()))[UDP].payload)).options
    )


def test_the_clients_identifier_is_echoed():
    assert ask("discover", ("client_id", b"\x01abcdef"))[1]["client_id"] == b"\x01abcdef"


def test_an_answer_fits_the_clients_largest_message_the_needed_options_first():
    routes = tuple(Route(f"10.{n}.0.0/16", "10.0.0.254") for n in range(1, 60))
    many = Subnet("sub", "net", "10.0.0.0/24", "10.0.0.1", dhcp=True, routes=routes, dns=("9.9.9.9",))
    small = answer(request("discover"), MAC, served(subnets={"sub": many}))
    assert len(small) - 14 <= 576
    told = Message.parse(bytes(Ether(small)[UDP].payload)).options
    assert {1, 3, 26, 6, 51} <= set(told)
    assert 121 not in told
    large = answer(request("discover", ("max_dhcp_size", 1500)), MAC, served(subnets={"sub": many}))
    told = Message.parse(bytes(Ether(large)[UDP].payload)).options
    assert len(told[121]) == 59 * 7 + 5, "an option of more than 255 bytes comes in pieces (RFC 3396)"


def test_another_ports_hardware_address_is_refused():
    with pytest.raises(DhcpError, match="not the port's address"):
        answer(request("discover", mac="fa:16:3e:00:00:99"), MAC, served())


def test_options_in_the_overloaded_fields_are_read():
    raw = bytearray(request("discover", ("dhcp-option-overload", 3)))
    start = 14 + 20 + 8
    raw[start + 108 : start + 108 + 7] = bytes([50, 4, 10, 1, 0, 7, 255])
    assert Message.parse(bytes(raw[start:])).options[50] == bytes([10, 1, 0, 7])


def _mutations():
    valid = request(
        "request", ("requested_addr", "10.0.0.5"), ("client_id", b"\x01abc"), ("param_req_list", [1, 3, 121])
    )
    spoilt = st.lists(st.tuples(st.integers(0, len(valid) - 1), st.integers(0, 255)), max_size=8)

    def apply(edits, cut):
        raw = bytearray(valid)
        for at, byte in edits:
            raw[at] = byte
        return bytes(raw[:cut])

    return st.builds(apply, spoilt, st.integers(0, len(valid)))


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=600), _mutations()))
def test_any_bytes_give_an_answer_or_none_or_a_dhcp_error(raw):
    try:
        reply = answer(raw, MAC, served())
    except DhcpError:
        return
    if reply is not None:
        assert Ether(reply)[BOOTP].yiaddr in ("10.0.0.5", "0.0.0.0")


@given(st.binary(max_size=400))
def test_any_options_behind_a_sound_header_are_read_or_refused(options):
    head = BOOTP(chaddr=bytes.fromhex(MAC.replace(":", "")), options=b"\x63\x82\x53\x63")
    with suppress(DhcpError):
        assert Message.parse(bytes(head) + options).chaddr == MAC
