"""Start: process to the first answer of /health, to /ready, and to the first moving position, of a daemon on a fresh
directory and again on the same one; then its resident memory. The reference is a bare asyncio HTTP server in the same
minute.

The environment must exist (any ./botctl command makes it). `--minutes 10` measures memory after ten minutes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BARE = """
import asyncio, sys
async def answer(reader, writer):
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""
PATIENCE_S = 60.0


def run(minutes: float = 0.5) -> dict[str, float]:
    """Seconds and MB by name."""
    figures = {"bare asyncio server: first answer, s": _bare_server()}
    folder = Path(tempfile.mkdtemp(prefix="bench-start-"))
    try:
        figures |= _daemon(folder, "fresh", minutes=0.0)
        figures |= _daemon(folder, "again", minutes=minutes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def _daemon(data: Path, name: str, *, minutes: float) -> dict[str, float]:
    port = _free_port()
    begun = time.monotonic()
    process = subprocess.Popen(
        [str(PROJECT / "botctl"), "run", "--data", str(data), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until(lambda: _get(f"http://127.0.0.1:{port}/health") is not None)
        health = time.monotonic() - begun
        _until(lambda: _get(f"http://127.0.0.1:{port}/ready") is not None)
        ready = time.monotonic() - begun
        _until(lambda: (data / "run.json").exists())
        facts = json.loads((data / "run.json").read_text())
        marks: set[str] = set()
        _until(lambda: _moves(port, facts["token"], marks))
        moving = time.monotonic() - begun
        time.sleep(max(0.0, minutes * 60 - moving))
        memory = _memory_mb(facts["pid"])
    finally:
        process.send_signal(signal.SIGINT)
        stopping = time.monotonic()
        process.wait(timeout=30)
    return {
        f"{name}: /health, s": round(health, 2),
        f"{name}: /ready, s": round(ready, 2),
        f"{name}: a moving position, s": round(moving, 2),
        f"{name}: stop, s": round(time.monotonic() - stopping, 2),
        f"{name}: resident memory after {max(moving, minutes * 60):.0f} s, MB": memory,
    }


def _moves(port: int, token: str, marks: set[str]) -> bool:
    """An open position was seen at two different prices."""
    answer = _get(f"http://127.0.0.1:{port}/api/positions", token)
    for position in json.loads(answer)["open"] if answer else []:
        marks.add(f"{position['id']} {position['mark_price']}")
    seen = [each.rsplit(" ", 1)[0] for each in marks]
    return len(set(seen)) < len(seen)


def _bare_server() -> float:
    port = _free_port()
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)])
    try:
        _until(lambda: _get(f"http://127.0.0.1:{port}/") is not None)
        return round(time.monotonic() - begun, 2)
    finally:
        process.kill()
        process.wait()


def _get(url: str, token: str = "") -> bytes | None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def _until(holds: "object") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_S:.0f} s")
        time.sleep(0.01)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:<60}{value:>10}")
