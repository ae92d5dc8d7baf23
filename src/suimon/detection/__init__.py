"""Who does, or suffers, what: folds over flow records, samples and drop counters. Pure, and bounded in memory.

A detector's `step(seen, now_s)` takes what is new into its state and returns the sightings that are above its
thresholds; `episodes` makes findings of them, one for as long as the same thing lasts. The same input gives the same
findings: time and the hashes' seed are arguments. Detectors of records need numpy (`records.py` lists them); those of
samples and drop counters (`counters.py`) don't.
"""
