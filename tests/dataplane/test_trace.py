"""What `ofproto/trace` says, read; and what it is asked: with a daemon that answers from a script."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from suimon.dataplane.trace import Trace, TraceError, trace

HEADERS = {"eth_type": 0x0800, "ip_proto": 17, "ipv4_src": 0x0A000001, "udp_dst": 53, "in_port": 3}
NEW = {"ct_state": 0x21, "ct_nw_proto": 17, "ct_nw_src": 0x0A000001, "ct_tp_dst": 53}
TRACKED = """Flow: udp,in_port=3

bridge("br-int")
 0. in_port=3, priority 100, cookie 0x5a00000000000001
    ct(table=22,zone=NXM_NX_REG3[0..15])
     -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table 22.

Final flow: unchanged
Datapath actions: ct(zone=1),recirc(0x1)

===============================================================================
recirc(0x1) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)
===============================================================================

Flow: recirc_id=0x1,ct_state=new|trk,ct_zone=1,eth,udp,reg1=0x1,in_port=3,tp_src=0,tp_dst=53

Final flow: unchanged
Datapath actions: drop
"""
SENT = """Flow: udp,in_port=3

22. udp, priority 10, cookie 0x5a00000000000002
    output:3
     >> skipping output to input port
    output:7

Final flow: unchanged
Datapath actions: 8
"""
MISSED = "Flow: udp\n\n26. No match.\n    drop\n\nFinal flow: unchanged\nDatapath actions: drop\n"


def answered(
    folder: Path, answers: list[str], tracked: list[dict[str, int]], size: int = 64
) -> tuple[Trace, list[list[str]]]:
    """The trace, and what was asked."""
    asked: list[list[str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = msgspec.json.decode(await reader.read(65536))
        asked.append([request["method"], *request["params"]])
        writer.write(msgspec.json.encode({"id": 0, "result": answers[len(asked) - 1], "error": None}))
        await writer.drain()
        writer.close()

    async def scenario() -> Trace:
        server = await asyncio.start_unix_server(serve, folder / "ctl")
        async with server:
            return await trace(folder / "ctl", "br-int", HEADERS, tracked, size)

    return asyncio.run(scenario()), asked


def test_a_stretch_after_the_tracker_is_asked_by_itself(tmp_path: Path) -> None:
    found, asked = answered(tmp_path, [TRACKED, SENT], [NEW])
    assert found == Trace(("7",), 22, 0x5A00000000000002, "8")
    assert asked[0][:2] == ["ofproto/trace", "br-int"]
    assert asked[0][2].startswith("in_port=3,dl_type=2048,nw_proto=17,")
    assert asked[1] == [
        "ofproto/trace-packet-out",
        "br-int",
        "udp,reg1=0x1,in_port=3,udp_src=0,udp_dst=53,ct_state=trk|new,ct_nw_proto=17,ct_nw_src=10.0.0.1,ct_tp_dst=53",
        "resubmit(,22)",
    ]


def test_a_miss_is_where_the_packet_ends(tmp_path: Path) -> None:
    found, _ = answered(tmp_path, [MISSED], [])
    assert found == Trace((), 26, 0, "drop")


@pytest.mark.parametrize("answer", [TRACKED, "nonsense", "Flow: udp\n 0. x, priority 1\n"])
def test_an_answer_that_does_not_add_up_is_an_error(tmp_path: Path, answer: str) -> None:
    with pytest.raises(TraceError):
        answered(tmp_path, [answer], [])


CHECKED = """Flow: udp

46. udp, priority 124, cookie 0x5a00000000000001
    check_pkt_larger(1414)->NXM_NX_REG12[0]
    goto_table:48
    48. reg12=0x1/0x1, priority 400, cookie 0x5a00000000000002
            CONTROLLER:65535
    goto_table:48
48. udp, priority 124, cookie 0x5a00000000000003
    output:7

Final flow: unchanged
Datapath actions: check_pkt_len(size=1414,gt(userspace),le(8))
"""


@pytest.mark.parametrize(
    ("size", "outputs", "cookie"),
    [(1400, ("7",), 0x5A00000000000003), (1401, ("CONTROLLER",), 0x5A00000000000002)],
)
def test_where_the_length_matters_the_other_way_is_left_out(
    tmp_path: Path, size: int, outputs: tuple[str, ...], cookie: int
) -> None:
    found, _ = answered(tmp_path, [CHECKED], [], size)
    assert (found.outputs, found.table, found.cookie) == (outputs, 48, cookie)
