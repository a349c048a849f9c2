"""What systemd is told, and that nobody is kept waiting by it."""

import secrets
import socket
from pathlib import Path

from bot.layer5_monitoring.service_manager import READY, ServiceManager


def test_a_line_reaches_a_socket_file_and_an_abstract_socket(tmp_path: Path) -> None:
    name = f"bot-test-{secrets.token_hex(8)}"
    for bound, address in ((str(tmp_path / "notify"), str(tmp_path / "notify")), (f"\0{name}", f"@{name}")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            ServiceManager(address).tell(READY)
            assert manager.recv(100) == b"READY=1"


def test_nobody_who_listens_a_manager_that_went_away_and_one_that_does_not_read_are_no_error(tmp_path: Path) -> None:
    ServiceManager("").tell(READY)
    ServiceManager(str(tmp_path / "gone")).tell(READY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "full"))
        for _ in range(2_000):
            ServiceManager(str(tmp_path / "full")).tell(READY)
