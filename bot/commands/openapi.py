"""`botctl openapi`: the document of the API, without a daemon."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bot.commands.output import check_writable, write_json
from bot.config.version import program_version


def openapi(*, out: Annotated[Path | None, Parameter(help="Write it to this file instead.")] = None) -> None:
    """Print the OpenAPI 3.1 document of the API. A running daemon serves the same at /api/openapi.json."""
    from bot.dashboard.api.openapi import document
    from bot.dashboard.api.table import OPERATIONS

    check_writable(out)
    made = document(OPERATIONS, version=program_version())
    if out is None:
        print(json.dumps(made, indent=2))
        return
    write_json(out, made)
    print(f"written to {out}")
