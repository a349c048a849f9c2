"""One step of many: what fails is told and counted, and keeps nothing else from being done."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec

from loguru import logger

from bot.errors import BotError, BrokerError

P = ParamSpec("P")


class Attempts:
    """Counts faults by what was tried, and knows the last one."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.last_error = ""

    async def attempt(self, what: str, act: Callable[P, Awaitable[object]], *args: P.args, **named: P.kwargs) -> bool:
        """Do one thing of many. False if it failed in a way that no venue's silence explains.

        Errors that are not ours are told by their kind only, because their texts may hold what must not be shown; the
        log, which is redacted, has all of it.
        """
        try:
            await act(*args, **named)
        except BrokerError as error:
            self.faults[what] += 1
            self.note(f"{what}: {error}")
        except Exception as error:
            self.faults[what] += 1
            logger.opt(exception=error).error("{} failed", what)
            self.note(f"{what}: {error if isinstance(error, BotError) else type(error).__name__}")
            return False
        return True

    def note(self, text: str) -> None:
        """Something that a person should read."""
        if text != self.last_error:  # a stream repeats itself many times a second
            logger.warning("{}", text)
        self.last_error = text


def raise_if_failed(what: str, done: Sequence[bool]) -> None:
    """Raises BotError where one of the attempts was False."""
    if failed := done.count(False):
        raise BotError(f"{what}: {failed} of {len(done)} steps failed, the others were done; see the log")
