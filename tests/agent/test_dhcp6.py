"""DHCPv6 answers, read back by scapy (another implementation), and what strangers can send."""

import os
from ipaddress import IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_
from scapy.layers import dhcp6 as scapy6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from suimon.agent.dhcp6 import Dhcp6Error, Kind, answer, service
from suimon.model.view import DhcpOption, FixedIp, Network, Port, Subnet

MAC = "fa:16:3e:00:00:01"
LINK_LOCAL = "fe80::f816:3eff:fe00:1"
NETWORK = Network("net", "vxlan", 100, None, mtu=1450, dns_domain="cloud.example.")
STATEFUL = Subnet(
    "s6",
    "net",
    "fd00:1::/64",
    "fd00:1::1",
    True,
    ("9.9.9.9", "2620:fe::fe", "::"),
    (),
    "dhcpv6-stateful",
    "dhcpv6-stateful",
)
STATELESS = with_(STATEFUL, id="l6", cidr="fd00:2::/64", ra_mode="dhcpv6-stateless", address_mode="dhcpv6-stateless")
SLAAC = with_(STATEFUL, id="a6", cidr="fd00:3::/64", ra_mode="slaac", address_mode="slaac")
PORT = Port("port", "h1", "net", MAC, (FixedIp("s6", "fd00:1::5"),))
CLIENT = b"\0\3\0\1" + bytes.fromhex(MAC.replace(":", ""))


def served(port=PORT, subnets=(STATEFUL, STATELESS, SLAAC), network=NETWORK):
    return service(port, {each.id: each for each in subnets}, network, lease_s=86400)


SERVER = served().duid


@pytest.mark.parametrize(("dns", "told"), [((), "fe80::a9fe:a9fe"), (("9.9.9.9",), "fe80::a9fe:a9fe"), (("::",), None)])
def test_who_names_no_resolver_has_the_host_s(dns, told):
    known = served(subnets=(with_(STATEFUL, dns=dns),)).told
    assert known.get(23) == (IPv6Address(told).packed if told else None)


def option(code, value=b""):
    return code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


def ia_na(*ips, iaid=7):
    """As a client writes it, with the addresses it names."""
    named = b"".join(bytes(scapy6.DHCP6OptIAAddress(addr=ip)) for ip in ips)
    return option(3, iaid.to_bytes(4, "big") + bytes(8) + named)


def message(kind, *options, client=CLIENT, server=None, dst="ff02::1:2", src=LINK_LOCAL, mac=MAC):
    body = bytes([kind]) + b"\x12\x34\x56"
    body += (option(1, client) if client else b"") + (option(2, server) if server else b"") + b"".join(options)
    udp = UDP(sport=546, dport=547) / body
    return bytes(Ether(src=mac, dst="33:33:00:01:00:02") / IPv6(src=src, dst=dst) / udp)


def solicit(*options):
    return message(Kind.SOLICIT, *(options or (ia_na(),)))


def ask(frame, to=None):
    """The answer's message as scapy reads it; None if there is none."""
    raw = answer(frame, MAC, to or served())
    if raw is None:
        return None
    whole = Ether(raw)
    told = whole[UDP].chksum
    del whole[UDP].chksum
    assert Ether(bytes(whole))[UDP].chksum == told
    assert (whole.dst, whole[IPv6].dst, whole[IPv6].src) == (MAC, LINK_LOCAL, "fe80::5a:ff:fe00:43")
    assert (whole[UDP].sport, whole[UDP].dport) == (547, 546)
    reply = whole[UDP].payload
    assert reply.trid == 0x123456
    assert bytes(reply[scapy6.DHCP6OptServerId].duid) == SERVER
    return reply


def addresses(reply):
    """Address → (preferred, valid) of all associations."""
    found, each = {}, reply.getlayer(scapy6.DHCP6OptIA_NA)
    nth = 1
    while each:
        for inner in each.ianaopts:
            if isinstance(inner, scapy6.DHCP6OptIAAddress):
                found[inner.addr] = inner.preflft, inner.validlft
        nth += 1
        each = reply.getlayer(scapy6.DHCP6OptIA_NA, nth)
    return found


def status(reply, kind=scapy6.DHCP6OptIA_NA, inside="ianaopts"):
    options = getattr(reply[kind], inside)
    return next((each.statuscode for each in options if isinstance(each, scapy6.DHCP6OptStatusCode)), 0)


LEASED = {"fd00:1::5": (54000, 86400)}


def test_a_solicit_is_offered_the_ports_address_and_all_it_must_know():
    reply = ask(solicit())
    assert isinstance(reply, scapy6.DHCP6_Advertise)
    assert bytes(reply[scapy6.DHCP6OptClientId].duid) == CLIENT
    assert addresses(reply) == LEASED
    association = reply[scapy6.DHCP6OptIA_NA]
    assert (association.iaid, association.T1, association.T2) == (7, 27000, 43200)
    assert reply[scapy6.DHCP6OptDNSServers].dnsservers == ["2620:fe::fe"]
    assert reply[scapy6.DHCP6OptDNSDomains].dnsdomains == ["cloud.example."]


def test_a_rapid_commit_is_a_lease_at_once():
    reply = ask(solicit(ia_na(), option(14)))
    assert isinstance(reply, scapy6.DHCP6_Reply)
    assert scapy6.DHCP6OptRapidCommit in reply
    assert addresses(reply) == LEASED


GONE = (0, 0)


@pytest.mark.parametrize(
    ("kind", "named", "leased"),
    [
        (Kind.REQUEST, ["fd00:1::5"], LEASED),
        (Kind.REQUEST, [], LEASED),
        (Kind.REQUEST, ["fd00:1::99"], LEASED),
        (Kind.RENEW, ["fd00:1::5"], LEASED),
        (Kind.RENEW, ["fd00:1::99"], LEASED | {"fd00:1::99": GONE}),
        (Kind.REBIND, ["fd00:1::5"], LEASED),
        (Kind.REBIND, ["fd00:1::5", "fd00:9::1"], LEASED | {"fd00:9::1": GONE}),
    ],
)
def test_a_lease_is_what_the_port_has_whoever_gave_it(kind, named, leased):
    server = None if kind is Kind.REBIND else SERVER
    reply = ask(message(kind, ia_na(*named), server=server))
    assert isinstance(reply, scapy6.DHCP6_Reply)
    assert addresses(reply) == leased


def test_a_request_for_another_links_address_is_told_so():
    assert status(ask(message(Kind.REQUEST, ia_na("fd00:9::1"), server=SERVER))) == 4


@pytest.mark.parametrize(
    ("named", "told"), [(["fd00:1::5"], 0), (["fd00:1::6"], 4), (["fd00:9::1"], 4), (["fd00:1::5", "fd00:1::6"], 4)]
)
def test_a_client_that_comes_to_the_link_learns_at_once_whether_its_lease_is_good(named, told):
    assert ask(message(Kind.CONFIRM, ia_na(*named)))[scapy6.DHCP6OptStatusCode].statuscode == told


def test_a_confirm_of_nothing_is_not_answered():
    assert ask(message(Kind.CONFIRM, ia_na())) is None


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.DECLINE])
def test_what_is_given_back_stays_the_ports(kind):
    reply = ask(message(kind, ia_na("fd00:1::5"), server=SERVER))
    assert reply[scapy6.DHCP6OptStatusCode].statuscode == 0
    assert scapy6.DHCP6OptIA_NA not in reply
    assert status(ask(message(kind, ia_na("fd00:1::99"), server=SERVER))) == 3
    assert addresses(ask(solicit())) == LEASED


def test_all_addresses_come_in_one_association():
    port = with_(PORT, fixed_ips=(*PORT.fixed_ips, FixedIp("s6", "fd00:1::6"), FixedIp("a6", "fd00:3::7")))
    reply = ask(solicit(ia_na(iaid=1), ia_na(iaid=2)), served(port))
    assert addresses(reply) == LEASED | {"fd00:1::6": LEASED["fd00:1::5"]}
    second = reply.getlayer(scapy6.DHCP6OptIA_NA, 2)
    assert (second.iaid, second.ianaopts[0].statuscode) == (2, 2)


def test_prefixes_and_temporary_addresses_are_not_to_be_had():
    reply = ask(solicit(ia_na(), option(25, b"\0\0\0\1" + bytes(8)), option(4, b"\0\0\0\2")))
    assert addresses(reply) == LEASED
    assert status(reply, scapy6.DHCP6OptIA_PD, "iapdopt") == 6
    assert status(reply, scapy6.DHCP6OptIA_TA, "iataopts") == 2


def test_stateless_tells_everything_but_addresses():
    port = with_(PORT, fixed_ips=(FixedIp("l6", "fd00:2::5"),))
    wants = option(6, b"\0\x17\0\x18\0\x20")
    reply = ask(message(Kind.INFORMATION_REQUEST, wants, client=None), served(port))
    assert isinstance(reply, scapy6.DHCP6_Reply)
    assert reply[scapy6.DHCP6OptDNSServers].dnsservers == ["2620:fe::fe"]
    assert reply[scapy6.DHCP6OptInfoRefreshTime].reftime == 86400
    assert scapy6.DHCP6OptClientId not in reply
    assert status(ask(solicit(), served(port))) == 2


@pytest.mark.parametrize(
    ("changes", "serves"),
    [
        ({}, True),
        ({"dhcp": False}, False),
        ({"address_mode": "slaac"}, False),
        ({"address_mode": None}, False),
        ({"address_mode": None, "ra_mode": None}, True),
        ({"ra_mode": None}, True),
    ],
)
def test_which_subnets_are_served(changes, serves):
    assert (served(subnets=[with_(STATEFUL, **changes)]) is not None) is serves


def test_a_client_is_told_what_it_asks_for_and_what_fits():
    options = (
        DhcpOption("dns-server", "2001:db8::53", 6),
        DhcpOption("bootfile-url", "tftp://[2001:db8::9]/boot", 6),
        DhcpOption("ntp-server", "2001:db8::7", 6),
        DhcpOption("domain-search", "a.example,b.example", 6),
        DhcpOption("500", "x" * 2000, 6),
        DhcpOption("1", "01:02", 6),
        DhcpOption("no-such", "1", 6),
    )
    to = served(with_(PORT, dhcp6_options=options))
    assert set(to.told) == {23, 24, 56, 59, 500}
    reply = ask(solicit(), to)
    assert reply[scapy6.DHCP6OptDNSServers].dnsservers == ["2001:db8::53"]
    assert reply[scapy6.DHCP6OptBootFileUrl].optdata == b"tftp://[2001:db8::9]/boot"
    assert reply[scapy6.DHCP6OptDNSDomains].dnsdomains == ["a.example.", "b.example."]
    assert len(answer(solicit(), MAC, to)) <= 1280 + 14
    only = ask(solicit(ia_na(), option(6, b"\0\x3b")), to)
    assert scapy6.DHCP6OptBootFileUrl in only
    assert scapy6.DHCP6OptDNSServers not in only


def test_the_server_is_the_same_on_every_host_and_another_on_every_network():
    assert served(with_(PORT, host="h2", id="other")).duid == SERVER
    assert served(network=with_(NETWORK, id="net2")).duid != SERVER
    assert SERVER[:2] == b"\0\4"
    assert len(SERVER) == 18


def test_a_request_to_another_server_is_left_to_it():
    assert ask(message(Kind.REQUEST, ia_na(), server=b"\0\4other")) is None


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(message(Kind.SOLICIT, ia_na(), client=None), id="no client"),
        pytest.param(message(Kind.SOLICIT, ia_na(), client=bytes(200)), id="an endless client"),
        pytest.param(message(Kind.SOLICIT, ia_na(), server=SERVER), id="a server in a solicit"),
        pytest.param(message(Kind.REQUEST, ia_na()), id="no server in a request"),
        pytest.param(message(Kind.REPLY, ia_na(), server=SERVER), id="a server's message"),
        pytest.param(message(12, bytes(34)), id="relayed"),
        pytest.param(message(Kind.INFORMATION_REQUEST, ia_na()), id="an address for information"),
        pytest.param(message(Kind.SOLICIT, *[ia_na()] * 17), id="many associations"),
        pytest.param(message(Kind.RENEW, ia_na(*[f"fd00:1::{n}" for n in range(1, 18)]), server=SERVER), id="many"),
        pytest.param(message(Kind.SOLICIT, option(3, b"abc")), id="a short association"),
        pytest.param(message(Kind.SOLICIT, b"\0\3\0\xff"), id="a cut option"),
        pytest.param(message(Kind.SOLICIT, ia_na(), dst="fe80::1"), id="unicast"),
        pytest.param(message(Kind.SOLICIT, ia_na(), src="fd00:1::5"), id="from a global address"),
        pytest.param(message(Kind.SOLICIT, ia_na(), mac="fa:16:3e:00:00:99"), id="another MAC"),
    ],
)
def test_what_no_client_of_the_port_may_send_is_refused(frame):
    with pytest.raises(Dhcp6Error):
        answer(frame, MAC, served())


VALID = [
    solicit(ia_na("fd00:1::5"), option(25, bytes(12)), option(6, b"\0\x17")),
    message(Kind.RENEW, ia_na("fd00:1::5", "fd00:1::6"), option(8, b"\0\0"), server=SERVER),
    message(Kind.CONFIRM, ia_na("fd00:1::5")),
    message(Kind.RELEASE, ia_na("fd00:1::5"), server=SERVER),
    message(Kind.INFORMATION_REQUEST, option(6, b"\0\x17\0\x18")),
]


def spoilt():
    def apply(valid, edits, cut):
        raw = bytearray(valid)
        for at, byte in edits:
            raw[at % len(raw)] = byte
        return bytes(raw[: cut or None])

    edits = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8)
    return st.builds(apply, st.sampled_from(VALID), edits, st.integers(0, 140))


LONG_RUN = int(os.environ.get("SUIMON_FUZZ_EXAMPLES", "500"))
"""`SUIMON_FUZZ_EXAMPLES=100000` for a long run."""


@settings(max_examples=LONG_RUN, deadline=None)
@given(st.one_of(spoilt(), st.binary(max_size=400).map(lambda body: VALID[0][:62] + body)))
def test_any_bytes_give_an_answer_or_none_or_an_error(raw):
    try:
        reply = answer(raw, MAC, served())
    except Dhcp6Error:
        return
    if reply is not None:
        live = {ip for ip, times in addresses(Ether(reply)[UDP].payload).items() if times != GONE}
        assert live <= {"fd00:1::5"}
        assert len(reply) <= 1514
