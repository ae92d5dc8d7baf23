"""Questions about names, as bytes: what is known here is answered, and any bytes are survived."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.agent.services.dns_message import LARGEST, Code, DnsError, Kind, Query, encoded
from suimon.agent.services.names import names
from suimon.model.view import FixedIp, Peer, Port

HERE = Port(
    "p1", "h1", "n", "02:00:00:00:00:01", (FixedIp("s", "10.0.0.5"), FixedIp("t", "2001:db8::5")), dns_name="Web"
)
UNNAMED = Port("p2", "h1", "n", "02:00:00:00:00:02", (FixedIp("s", "10.0.0.6"),))
THERE = Peer("p3", "n", "02:00:00:00:00:03", ("10.0.0.7",), "h2", None, name="db.example.")
KNOWN = names("Example.", [HERE, UNNAMED], [THERE])


def question(name, kind=Kind.A, id_=7):
    return struct.pack("!HHHHHH", id_, 0x0100, 1, 0, 0, 0) + encoded(name) + struct.pack("!HH", kind, 1)


def ask(name, kind=Kind.A):
    """The code of the answer and the last bytes of it; None when others are to be asked."""
    answer = KNOWN.answer(Query.parse(question(name, kind)))
    if answer is None:
        return None
    id_, flags, _, count, *_ = struct.unpack_from("!HHHHHH", answer)
    assert id_ == 7
    return flags & 0xF, count, answer


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("web.example", Kind.A, bytes([10, 0, 0, 5])),
        ("WEB.EXAMPLE", Kind.A, bytes([10, 0, 0, 5])),
        ("web", Kind.A, bytes([10, 0, 0, 5])),
        ("web.example", Kind.AAAA, bytes.fromhex("20010db8000000000000000000000005")),
        ("db.example", Kind.A, bytes([10, 0, 0, 7])),
        ("host-10-0-0-6.example", Kind.A, bytes([10, 0, 0, 6])),
        ("5.0.0.10.in-addr.arpa", Kind.PTR, encoded("web.example")),
        ("6.0.0.10.in-addr.arpa", Kind.PTR, encoded("host-10-0-0-6.example")),
        ("5." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", Kind.PTR, encoded("web.example")),
    ],
)
def test_what_is_known_is_answered(name, kind, data):
    code, count, answer = ask(name, kind)
    assert (code, count) == (Code.NO_ERROR, 1)
    assert answer.endswith(len(data).to_bytes(2, "big") + data)


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("web.example", 15, (Code.NO_ERROR, 0)),
        ("db.example", Kind.AAAA, (Code.NO_ERROR, 0)),
        ("nobody", Kind.A, (Code.NO_SUCH_NAME, 0)),
        ("host-10-0-0-99", Kind.A, (Code.NO_SUCH_NAME, 0)),
        ("99.0.0.10.in-addr.arpa", Kind.PTR, (Code.NO_SUCH_NAME, 0)),
        ("nobody.example", Kind.A, None),
        ("www.example.org", Kind.A, None),
        ("web.example.org", Kind.A, None),
        ("7.100.51.198.in-addr.arpa", Kind.PTR, (Code.NO_SUCH_NAME, 0)),
        ("1.1.1.1.in-addr.arpa", Kind.PTR, None),
        ("x.in-addr.arpa", Kind.PTR, None),
    ],
)
def test_what_is_not_known(name, kind, told):
    answer = ask(name, kind)
    assert (answer and answer[:2]) == told


def test_an_answer_counts_only_for_its_question():
    query = Query.parse(question("www.example.org", id_=7))
    asked = query.asked(99)
    assert asked[:2] == (99).to_bytes(2, "big")
    good = asked[:2] + b"\x81\x80" + asked[4:]
    assert query.answered_by(good, 99)[:2] == (7).to_bytes(2, "big")
    other = question("www.example.com", id_=99)
    for forged in (good[:5], asked, other[:2] + b"\x81\x80" + other[4:]):
        assert query.answered_by(forged, 99) is None
    assert query.answered_by(good, 98) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        question("a")[:-1],
        question("a")[:2] + b"\x80\x00" + question("a")[4:],
        question("a")[:4] + b"\0\2" + question("a")[6:],
        question("a")[:12] + b"\xc0\x0c\0\1\0\1",
        question("a")[:12] + b"\x3f" + b"a" * 10,
        question("a")[:12] + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
        question("a")[:-1] + b"\3",
    ],
)
def test_what_is_no_query(raw):
    with pytest.raises(DnsError):
        Query.parse(raw)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_survived(raw, whole):
    try:
        query = Query.parse(question("a")[:12] + raw if whole else raw)
    except DnsError:
        return
    answer = KNOWN.answer(query) or query.answer(Code.SERVER_FAILURE)
    assert len(answer) <= 512


def test_too_many_addresses_are_cut_off_and_said_to_be():
    many = [Peer(f"p{n}", "n", "02:00:00:00:00:01", (f"10.0.0.{n}",), "h2", None, name="many") for n in range(100)]
    known = names("example.", [], many)
    answer = known.answer(Query.parse(question("many")))
    assert len(answer) < 512 and answer[2] & 0x02
    whole = known.answer(Query.parse(question("many"), LARGEST))
    assert int.from_bytes(whole[6:8], "big") == 100 and not whole[2] & 0x02, "by TCP there is room"
