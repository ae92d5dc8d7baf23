"""What distribution can be told to do differently."""

import msgspec


class DistributionConfig(msgspec.Struct, frozen=True):
    """Rates, bounds and patience of the hosts' side."""

    ping_s: float = 5.0
    """How often an idle stream says that it is alive; agents give a line up after three missing ones."""
    snapshots_per_s: float = 20.0
    snapshot_burst: int = 50
    snapshot_pause_s: float = 2.0
    """How long a host that was told a snapshot waits for the next one."""
    gather_s: float = 0.5
    """How long at most hosts wait to be told of ports that aren't up, if they were told of some just now."""
    eager_s: float = 10.0
    """How long after a host missed a port it is told of its own at once: guests seem to be plugged right away there."""
    furthest_behind: int = 5_000
    """Revisions: a host that is further behind gets a snapshot, which then costs less than its part of the log."""
    backlog_bytes: int = 4 << 20
    """What may wait for one host besides the frame that is being sent."""
    send_timeout_s: float = 20.0
    """How long a host may take no byte before its stream is closed."""
    body_timeout_s: float = 10.0
    report_interval_s: float = 10.0
    """How often agents report; a host whose stream is closed counts as up for three of these."""
    question_timeout_s: float = 5.0
    """How long a host may take to answer what its switch would do."""
    note_hosts_every_s: float = 30.0
    """How often the store is told which hosts were heard of, for all controllers to know."""
    silent_after_s: float = 120.0
    """How long no controller has heard of a host for which another gateway host then stands by."""
