"""What this version has no word for is passed over and told; everything else that makes no sense still is an error."""

import msgspec
import pytest
from structlog.testing import capture_logs

from suimon.agent.newer import decoded
from suimon.model.view import Delta, Frame, Network
from tests.agent.parts import NETWORK, at


class Teleport(msgspec.Struct, frozen=True, tag="teleport"):
    id: str


FRAMES = msgspec.json.Decoder(Frame)


def told(*objects):
    return msgspec.json.encode({"type": "delta", "position": at(3), "objects": objects})


def test_an_unknown_kind_is_passed_over_and_told():
    with capture_logs() as lines:
        frame = decoded(FRAMES, told(Teleport("t1"), NETWORK, Teleport("t2")), "objects")
    assert frame == Delta(at(3), objects=(NETWORK,))
    assert [(line["event"], line["kinds"], line["objects"]) for line in lines] == [("unknown_kinds", ["teleport"], 2)]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"delta"}',
        b'{"type":"tomorrow","objects":[]}',
        b"[]",
        told(msgspec.to_builtins(NETWORK) | {"kind": "stt"}),
        told(Teleport("t"), msgspec.to_builtins(NETWORK) | {"mtu": "large"}),
        told({"id": "no kind"}),
        told(7),
    ],
)
def test_everything_else_is_an_error(raw):
    with pytest.raises(msgspec.ValidationError):
        decoded(FRAMES, raw, "objects")


def test_what_is_known_is_not_looked_into():
    with capture_logs() as lines:
        assert decoded(FRAMES, told(NETWORK), "objects") == Delta(at(3), objects=(NETWORK,))
    assert not lines
    assert isinstance(NETWORK, Network)
