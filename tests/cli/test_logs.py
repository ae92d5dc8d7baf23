"""What the daemons write: lines that whoever reads logfmt can read."""

import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from suimon.cli.logs import line, log_to_stderr

LOGFMT = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
KEYS = st.sampled_from(["timestamp", "level", "event", "port", "requests", "reason"])
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(max_size=3), max_size=3)


@given(st.dictionaries(KEYS, VALUES))
@example({"event": "e", "reason": 'a "b" = \\ c\nd'})
@example({"event": "e", "reason": "back\\slash"})
def test_a_line_is_what_structlogs_own_renderer_makes_of_the_event(event):
    assert line(None, "info", dict(event)) == LOGFMT(None, "info", dict(event))


def test_a_daemon_in_this_process_leaves_no_logger_deaf():
    log = structlog.get_logger()
    for _ in range(2):
        log_to_stderr("info")
        log.info("begun")
    with capture_logs() as lines:
        log.info("heard")
    assert [each["event"] for each in lines] == ["heard"]
