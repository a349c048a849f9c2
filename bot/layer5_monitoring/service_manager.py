"""The protocol by which a daemon tells systemd how it is (sd_notify): lines in a datagram to NOTIFY_SOCKET."""

import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"
_ABSTRACT: Final = "@"  # how a socket without a file is written in an environment variable


class ServiceManager:
    """Whoever started us and wants to know; nobody, where `address` is empty. Telling never fails and never waits."""

    def __init__(self, address: str) -> None:
        """`address` is what NOTIFY_SOCKET says."""
        self._address = address.replace(_ABSTRACT, "\0", 1) if address.startswith(_ABSTRACT) else address

    def tell(self, state: str) -> None:
        """One line, such as READY."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto(state.encode(), self._address)
            except OSError:
                return  # a manager that went away, or is not reading: it will find out by itself
