"""The log is silent in simulations: a seed fails thousands of things on purpose."""

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    logger.disable("bot")
    yield
    logger.enable("bot")
