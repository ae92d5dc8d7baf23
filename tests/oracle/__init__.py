"""What a packet's fate should be, said from the API's resources alone, and compared with what hosts make of it.

`intent` is the oracle: dicts as a client gets them from the API go in, and for a frame it says who gets it, with which
addresses. It imports nothing of ours. `cluster` is the real thing: acts, store, distribution, pipeline, one simulated
switch a host and the wires between them. `topology` makes random clouds and changes, `questions` random frames, with an
eye for what is nearly allowed. `python -m tests.oracle` runs as many as wanted.
"""
