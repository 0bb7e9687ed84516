"""Tells systemd how we are: READY, STATUS, STOPPING, WATCHDOG; and takes the sockets that it listens on for us.

Room:    adapters (touches $NOTIFY_SOCKET, $LISTEN_FDS)
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


FIRST_PASSED = 3


def passed_sockets() -> int:
    """How many sockets systemd listens on for us (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    return int(os.environ.get("LISTEN_FDS", "0"))


def passed_socket(number: int) -> socket.socket:
    """One of them, the first is 0. Whoever closes it leaves it listening."""
    assert number < passed_sockets(), number
    return socket.socket(fileno=os.dup(FIRST_PASSED + number))
