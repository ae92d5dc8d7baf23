"""The daemon of a hypervisor: keeps its Open vSwitch equal to what the controller tells this host.

In come the controller's frames (model/view.py), interfaces that guests are plugged into, packets that flows hand over;
out go flows and limits, DHCP and ARP answers, reports. `cli.agent` wires the parts, `daemon.Agent` runs them. What
holds always: all that a restart needs is on disk before the switch is told, nothing is taken away that the controller
did not say or an operator did not accept, and whatever dies, forwarding goes on.
"""
