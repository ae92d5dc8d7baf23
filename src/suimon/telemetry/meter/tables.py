"""The tables of metering: a database of its own beside the store's file, or some more tables of the same server.

They have no revisions and no change log: nobody is told of them. A row of samples is all ports of a host at one moment,
packed, since that is what one report says (docs/decisions/0044). Times are milliseconds since 1970, UTC.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData()

HEADS: Final = Table(
    "meter_heads",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""What each host's counters held last: a `ledger.HostHead`."""

SAMPLES: Final = Table(
    "meter_samples",
    METADATA,
    Column("grain_s", Integer, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("ended_ms", BigInteger, primary_key=True),
    Column("roster", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("meter_samples_by_time", "grain_s", "ended_ms"),
)
"""What passed until `ended_ms`: a reading's samples (grain 0), or their sums over a minute, five, or an hour."""

ROSTERS: Final = Table(
    "meter_rosters", METADATA, Column("id", LargeBinary, primary_key=True), Column("body", LargeBinary, nullable=False)
)
"""Whose the columns of a sample's body are, by the hash of the list: it changes far more seldom than the numbers."""

PRESENCE: Final = Table(
    "meter_presence",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("seen_ms", BigInteger, nullable=False),
)
"""On which hosts a port, project or network had samples, and until when: nobody else's rows are read for it."""

MARKS: Final = Table(
    "meter_marks",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)
"""`began`: since when there is metering. `60`, `300`, `3600`: up to where that grain is complete. `closed`: up to where
months are.
"""

MONTHS: Final = Table(
    "meter_months",
    METADATA,
    Column("month", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Months that are closed: a `months.Statement` each, written once and never changed or forgotten."""
