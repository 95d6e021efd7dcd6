"""Messages to the service manager that started us (sd_notify(3), without its library)."""

import os
import socket
import time


class Notifier:
    """
    The service manager at `NOTIFY_SOCKET`; without one every message goes nowhere.

    The three variables that systemd sets are taken out of the environment: processes that we
    start are not the service and must not speak for it.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # systemd's way of writing an abstract socket
            self._address = "\0" + self._address[1:]
        usec = os.environ.pop("WATCHDOG_USEC", "")
        pid = os.environ.pop("WATCHDOG_PID", "") or str(os.getpid())
        wanted = bool(self._address) and usec.isdigit() and pid == str(os.getpid())
        self.watchdog_interval_seconds = int(usec) / 1e6 / 2 if wanted else None
        """How often `watchdog` should be called; None when nobody waits for it."""

    def ready(self) -> None:
        """Say that start-up, or a reload, is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the daemon is about to end."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """Say that we are alive."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show *text* as the state of the service."""
        self._send("STATUS=" + " ".join(text.split()))

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(1)
                sock.sendto(message.encode(), self._address)
        except OSError:
            # Nobody listens (any more): no reason for an API to stop working.
            return
