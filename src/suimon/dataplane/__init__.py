"""I/O to Open vSwitch on this host: its database (OVSDB), its flow tables (OpenFlow 1.5).

In come layouts, flows, groups, meters and limits as values; out go the same values as the switch holds them, the
interfaces that guests were plugged into, counters and packets. The agent calls; so does the lab. What holds always:
whatever we make carries our mark from the transaction that makes it, what carries no mark of ours is never changed,
and a read is complete or an error.
"""
