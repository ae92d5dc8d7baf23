"""A port's own DHCP options, as bytes and in the answers."""

import pytest
from msgspec.structs import replace as with_
from scapy.layers.dhcp import BOOTP

from suimon.agent.dhcp_options import NEXT_SERVER, encoded
from suimon.model.view import DhcpOption
from tests.agent.test_dhcp import PORT, ask, served


@pytest.mark.parametrize(
    ("name", "value", "code", "raw"),
    [
        ("bootfile-name", "pxelinux.0", 67, b"pxelinux.0"),
        ("tftp-server", "10.0.0.9", 66, b"10.0.0.9"),
        ("dns-server", "1.1.1.1, 9.9.9.9", 6, b"\1\1\1\1\x09\x09\x09\x09"),
        ("mtu", "1400", 26, b"\x05\x78"),
        ("time-offset", "-3600", 2, b"\xff\xff\xf1\xf0"),
        ("T1", "0x10", 58, b"\0\0\0\x10"),
        ("domain-search", "a.example,b.", 119, b"\1a\7example\0\1b\0"),
        (
            "classless-static-route",
            "10.8.0.0/13,10.0.0.1,0.0.0.0/0,10.0.0.2",
            121,
            b"\x0d\x0a\x08\x0a\0\0\1\0\x0a\0\0\2",
        ),
        ("server-ip-address", "10.0.0.9", NEXT_SERVER, b"\x0a\0\0\x09"),
        ("router", "", 3, b""),
        ("42", "10.0.0.9", 42, b"\x0a\0\0\x09"),
        ("224", "10.0.0.9", 224, b"\x0a\0\0\x09"),
        ("224", "01:ab", 224, b"\x01\xab"),
        ("224", "01:abc", 224, b"01:abc"),
    ],
)
def test_what_an_option_becomes(name: str, value: str, code: int, raw: bytes) -> None:
    assert encoded([DhcpOption(name, value)]) == {code: raw}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("no-such-option", "x"), ("0", "x"), ("255", "x"), ("1000", "x"), ("54", "10.0.0.9"), ("53", "5"),
        ("mtu", "70000"), ("mtu", "many"), ("dns-server", "2001:db8::1"), ("domain-search", "a..b"),
        ("classless-static-route", "10.0.0.0/8"), ("client-id", "x"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_left_out(name: str, value: str) -> None:
    assert encoded([DhcpOption(name, value)]) == {}


def test_a_ports_options_come_before_the_subnets() -> None:
    options = (
        DhcpOption("bootfile-name", "boot.efi"),
        DhcpOption("dns-server", "192.0.2.53"),
        DhcpOption("router", ""),
        DhcpOption("server-ip-address", "192.0.2.9"),
        DhcpOption("lease-time", "600"),
    )
    mine = served(with_(PORT, dhcp_options=options))
    frame, said = ask("discover", served=mine)
    assert frame[BOOTP].siaddr == "192.0.2.9"
    assert (said["boot-file-name"], said["name_server"], said["lease_time"]) == (b"boot.efi", "192.0.2.53", 600)
    assert "router" not in said
    _, informed = ask("inform", ciaddr="10.0.0.5", served=mine)
    assert "lease_time" not in informed
    refusal, _ = ask("request", ("requested_addr", "10.0.0.77"), served=mine)
    assert refusal[BOOTP].siaddr == "0.0.0.0"
