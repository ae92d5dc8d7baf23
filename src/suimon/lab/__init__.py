"""The lab: a data centre on one machine, for demonstrations and system tests.

In: a `LabConfig`. Out: hypervisors as network namespaces, each with an Open vSwitch and an agent of its own; a
controller in the root namespace; guests as namespaces plugged by `iface-id`; an "internet" host behind the provider
network. Called by `cli/lab.py` and by system tests. Always holds: everything made is named after the lab, namespaces
are written to its journal before they are made, and every process carries the lab's mark, so that `Lab.down` finds it
all again after any death; nothing else is touched.
"""
