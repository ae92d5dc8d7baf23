"""What passes on the network, told by who sees it: flow records and counters come in, batches and sums go out.

Needs the extra `telemetry` (numpy, DuckDB) where it deals with flow records; everything else runs without it.
"""
