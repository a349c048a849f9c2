"""What was filled since a transaction, whatever was cut or missed in between."""

from collections.abc import Mapping
from typing import Any, Final

from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.closes import Closes
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.models import Fill

Json = Mapping[str, Any]

FIRST_TRANSACTION: Final = "1"  # it opens the account: nothing was filled before


async def read_fills(desk: Desk, names: from_oanda.Names, cursor: str) -> tuple[tuple[Fill, ...], str]:
    """Fills after transaction `cursor`, oldest first, and the transaction from which to read on."""
    at = cursor or FIRST_TRANSACTION
    if not at.isdigit():
        raise BrokerUnavailable(
            f"oanda: fill cursor {cursor!r:.60} is not of this venue (a transaction); read from the beginning with an "
            "empty cursor"
        )
    newest = await desk.read(to_oanda.SUMMARY, Priority.READ, lambda answer: int(answer["lastTransactionID"]))
    if int(at) > newest:
        at = FIRST_TRANSACTION  # another account, or one that began anew: read all; a fill that is known is no news
    found: list[Fill] = []
    closes = Closes(desk.closes)
    async for each in desk.transactions_after(at, newest):
        found.extend(_fills(each, names, closes))
        at = str(each["id"])
    return tuple(found), closes.cursor(at)


def _fills(transaction: Json, names: from_oanda.Names, closes: Closes) -> list[Fill]:
    def translated() -> list[Fill]:
        closes.note(transaction)
        return list(from_oanda.fills(transaction, names, closes.names))

    try:
        return from_oanda.readable(translated)
    except ValueError as error:
        raise BrokerUnavailable(f"oanda: transaction {transaction['id']} cannot be read: {error}") from error
