"""What Open vSwitch's words say of a zone's connections."""

from __future__ import annotations

from suimon.dataplane.zones import Tracked, read_tracked

TOLD = """\
tcp,orig=(src=10.0.0.11,dst=10.0.0.12,sport=37173,dport=25),reply=(src=10.0.0.12,dst=10.0.0.11,sport=25,dport=37173),\
zone=1,protoinfo=(state=ESTABLISHED)
icmp,orig=(src=10.0.0.11,dst=10.0.0.12,id=7,type=8,code=0),reply=(src=10.0.0.12,dst=10.0.0.11,id=7,type=0,code=0),zone=1
udp,orig=(src=2001:db8::1,dst=2001:db8::2,sport=5,dport=53),reply=(src=2001:db8::2,dst=2001:db8::1,sport=53,dport=5)
47,orig=(src=10.0.0.11,dst=10.0.0.13),reply=(src=10.0.0.13,dst=10.0.0.11),zone=1
"""


def test_connections_are_read_as_their_first_packet_had_them() -> None:
    mail, ping, question, other = (
        Tracked(6, "10.0.0.11", "10.0.0.12", 37173, 25),
        Tracked(1, "10.0.0.11", "10.0.0.12", 7, 0),
        Tracked(17, "2001:db8::1", "2001:db8::2", 5, 53),
        Tracked(0, "10.0.0.11", "10.0.0.13"),
    )
    assert read_tracked(TOLD) == {mail, ping, question, other}
    assert (mail.peer("egress"), mail.peer("ingress")) == ("10.0.0.12", "10.0.0.11")
    assert read_tracked("") == frozenset()
