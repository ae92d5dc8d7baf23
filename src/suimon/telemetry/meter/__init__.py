"""Metering: cumulative counters come in from hosts, exact samples go out, and sums of them for years.

`ledger` (pure) turns readings into samples, `trunks` (pure) tells a trunk's ports apart, `history` keeps them in a
database of its own, `usage` (pure) adds them up for whoever asks, `months` (pure) and `closing` by the month, as it is
billed, `windows` keeps sums of times that slide, and `meters` is the component that joins them. Bytes are counted once
whatever is told twice, late or by another way: a reading says what a counter holds, never what passed
(docs/decisions/0044).
"""
