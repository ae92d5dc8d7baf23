"""The networking tests of tempest and neutron-tempest-plugin, run against a controller that is started for them.

`python -m tests.conformance` (or `make conformance`) runs the list in `open.txt`. `controllers` says with which
options a test wants its controller, `cloud` and `hypervisors` put into it what the tests expect to find, `tempest`
installs, runs and reads the tests. `answers` compares single requests with what a real Neutron answered.
"""
