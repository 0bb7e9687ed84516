"""A TCP socket to listen on.

Room:    adapters (touches the network)
Imports: errors, stdlib
"""

from __future__ import annotations

import socket
from contextlib import suppress

from face_organizer.errors import ConfigError


def listening_on(host: str, port: int) -> socket.socket:
    """Bound and listening; port 0: any that is free. Raises ConfigError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                with suppress(OSError):
                    found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            found.bind(address)
            found.listen()  # who hears of us may come at once, and waits until somebody serves
        except BaseException:
            found.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}, port {port} (web.listen): {error.strerror}; choose another. In the system"
            " service, which has no network, systemd listens for us: install-service --web"
        ) from error
    return found
