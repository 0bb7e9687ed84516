"""Tells systemd how we are: READY, STATUS, STOPPING, WATCHDOG.

Room:    adapters (touches $NOTIFY_SOCKET)
Imports: stdlib

The protocol is one datagram (sd_notify(3)); without systemd every call does nothing.
"""

from __future__ import annotations

import os
import socket


def notify(*lines: str) -> None:
    """Send lines such as "READY=1". Never fails: telling is not the work."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        try:
            notifier.sendto("\n".join(lines).encode(), name)
        except OSError:
            return


def watchdog_period_s() -> float | None:
    """How often systemd wants WATCHDOG=1 from this process; None if it does not."""
    period_us = os.environ.get("WATCHDOG_USEC")
    if not period_us or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(period_us) / 1e6
