"""Every error of the project, on one page. The class tells the caller what it may do next.

An error is for what was not answered. A "no" (a vetoed signal, a refused or rejected order) is a value with its reason.
"""

from typing import ClassVar


class BotError(Exception):
    """Root of all our errors; the text names the thing, the value, the bound and the next step."""

    exit_code: ClassVar[int] = 1


class UsageError(BotError):
    """The command line named something that does not exist. Correct the call."""

    exit_code = 2


class UnknownSymbol(UsageError):
    """No instrument of that name is registered."""


class ConfigError(BotError):
    """A setting is wrong. Refuse to start; all faults are listed at once."""

    exit_code = 3


class DataError(BotError):
    """A candle, a quote or a file is not usable. Skip it and record why."""

    exit_code = 5


class NotEnoughCandles(DataError):
    """A calculation needs more history than there is."""


class StorageError(BotError):
    """The data directory cannot be used: full, read-only or missing permission. Refuse to start, or stop entries."""

    exit_code = 7


class DatabaseUnavailable(BotError):
    """The database did not answer. Nothing new may be opened; what is open stays protected at the venue."""

    exit_code = 6


class SchemaMismatch(DatabaseUnavailable):
    """The database is newer than this code, or a migration was edited after it ran. Refuse to start."""


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost during a commit. Read the row back by its key before doing anything else."""


class NotTheWriter(DatabaseUnavailable):
    """Another daemon trades on this database, or the lock that says who does was lost. Send nothing; do not start."""


class NotFound(BotError):
    """A row that should exist does not."""


class BrokerError(BotError):
    """Root of what a broker adapter raises."""

    exit_code = 8


class BrokerUnavailable(BrokerError):
    """The venue was not reached, or refused to answer a question. Nothing was done: asking again is safe."""


class KeyRefused(BrokerUnavailable):
    """The venue does not let our key in. Nothing was done; stops rest there, entries wait, and a person has to act."""


class EntryRefused(BrokerUnavailable):
    """By the last word before its bytes: the kill switch was pressed, or it took too long. Nothing was sent."""


class OrderFateUnknown(BrokerError):
    """An order may or may not have been taken. Never send again: record UNKNOWN and reconcile."""


class IllegalTransition(BotError):
    """An order was moved in a way the state table does not know. Our bug: quarantine the order and alert."""


class AlertFailed(BotError):
    """Root of what a way to tell people raises. The message is not taken and never will be: drop it, say so."""


class AlertNotSent(AlertFailed):
    """The message surely did not go out. Send it again after `retry_after_s`."""

    def __init__(self, text: str, *, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class AlertFateUnknown(AlertFailed):
    """The message may have gone out. A text message is looked up, never sent again."""


class AnalystUnavailable(BotError):
    """The model gave no decision. No entry follows; positions are not touched by it."""
