"""A dump is complete and of one moment, or an error; whatever comes."""

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.dataplane import kept
from suimon.dataplane.netlink import HEADER, attribute, attributes, dump, opened

DONE, ERROR, INTERRUPTED = 3, 2, 0x10
NUMBER = struct.Struct("=i")


class Kernel:
    """Answers each request by the next of these lists of datagrams."""

    def __init__(self, *answers):
        self.answers, self.asked, self.saying = list(answers), 0, []

    def send(self, _request):
        self.asked += 1
        self.saying = list(self.answers.pop(0))

    def recv(self, _most):
        if not self.saying:
            raise BlockingIOError(errno.EAGAIN, "nothing comes")
        return self.saying.pop(0)


def message(kind, body=b"", flags=2):
    padded = body + bytes(-len(body) % 4)
    return HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + padded


WHOLE = [message(16, b"one") + message(16, b"second"), message(DONE, NUMBER.pack(0))]


def test_all_messages_are_of_the_dump_until_it_says_that_it_is_done():
    assert dump(Kernel(WHOLE), 18, b"") == [(16, b"one"), (16, b"second")]


@pytest.mark.parametrize("where", [0, 1])
def test_what_changed_while_it_was_read_is_read_again(where):
    broken = [message(16, b"one", INTERRUPTED if not where else 2), message(DONE, NUMBER.pack(0), INTERRUPTED)]
    kernel = Kernel(broken, WHOLE)
    assert dump(kernel, 18, b"") == [(16, b"one"), (16, b"second")]
    assert kernel.asked == 2
    with pytest.raises(OSError, match="changed each time"):
        dump(Kernel(*[broken] * 10), 18, b"")


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ([message(ERROR, NUMBER.pack(-errno.EPERM))], errno.EPERM),
        ([message(16, b"one"), message(DONE, NUMBER.pack(-errno.ENOMEM))], errno.ENOMEM),
        ([message(16, b"one")[:-3]], errno.EBADMSG),
        ([HEADER.pack(3, 16, 2, 1, 0)], errno.EBADMSG),
        ([message(16, b"one")], errno.EAGAIN),
    ],
)
def test_half_a_dump_is_an_error(said, number):
    with pytest.raises(OSError) as error:
        dump(Kernel(said), 18, b"")
    assert error.value.errno == number


@given(st.lists(st.binary(max_size=64), max_size=4))
def test_any_bytes_are_messages_or_an_error(said):
    try:
        dump(Kernel(said), 18, b"")
    except OSError:
        return
    assert any(said)


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=9), max_size=5))
def test_attributes_are_read_as_they_are_written(told):
    assert attributes(b"".join(attribute(kind, value) for kind, value in told.items())) == told


@given(st.binary(max_size=64))
def test_any_bytes_have_attributes(said):
    assert sum(map(len, attributes(said + bytes(8)).values())) <= len(said) + 8


def test_the_kernel_answers():
    """Anybody may ask for devices."""
    with opened("route") as asking:
        told = dump(asking, *kept.ASKED[0][1:])
    assert {kind for kind, _ in told} == {16}
    assert len(told) == len(socket.if_nameindex())
    assert kept.settings(["kernel.ostype"]) == ["Linux\n"]
