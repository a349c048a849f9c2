"""`botctl run`, as the help shows it. A plain call goes past this module, straight to `bot.main`."""

from typing import Annotated

from cyclopts import Parameter


def run(
    *,
    mode: Annotated[str | None, Parameter(help="dev (default), paper or live.")] = None,
    host: Annotated[str | None, Parameter(help="Address that the page listens on.")] = None,
    port: Annotated[str | None, Parameter(help="TCP port of the page; if taken, the next free one is used.")] = None,
    data: Annotated[str | None, Parameter(help="Folder for database and state.")] = None,
    speed: Annotated[str | None, Parameter(help="Market seconds per real second in dev mode.")] = None,
    seed: Annotated[str | None, Parameter(help="Seed of the simulated market of dev mode.")] = None,
    fakes: Annotated[bool, Parameter(help="In paper mode: talk to fakes of the venues, offline.", negative="")] = False,
) -> int:
    """Start the daemon; Ctrl-C stops it cleanly. Each option wins over the setting of the same meaning."""
    from bot.main import main

    options = {"--mode": mode, "--host": host, "--port": port, "--data": data, "--speed": speed, "--seed": seed}
    words = [word for name, value in options.items() if value is not None for word in (name, value)]
    return main([*words, *(["--fakes"] if fakes else [])])
