"""How an emulated machine hangs on a lab: by taps, which are its network cards."""

from __future__ import annotations

import subprocess


def tap(namespace: str, device: str, *more: str) -> None:
    """Up; `more` is what else `ip link set` does with it."""
    for command in (["tuntap", "add", "dev", device, "mode", "tap"], ["link", "set", device, "up", *more]):
        subprocess.run(["ip", "-n", namespace, *command], check=True)


def card(device: str, mac: str) -> list[str]:
    """For qemu. The userspace datapath fills in no checksum that a guest left open."""
    interface = ["-netdev", f"tap,id={device},ifname={device},script=no,downscript=no"]
    return [*interface, "-device", f"virtio-net-pci,netdev={device},mac={mac},csum=off,gso=off,guest_csum=off"]
