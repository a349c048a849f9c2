"""What was filled since a transaction, whatever was cut or missed in between."""

from collections.abc import Mapping
from typing import Any, Final

from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.models import ClientOrderId, Fill

Json = Mapping[str, Any]

FIRST_TRANSACTION: Final = "1"  # it opens the account: nothing was filled before


async def read_fills(
    desk: Desk, names: from_oanda.Names, closes: Mapping[str, ClientOrderId], cursor: str
) -> tuple[tuple[Fill, ...], str]:
    """Fills after transaction `cursor`, oldest first, and the number of the last transaction that was read."""
    newest = await desk.read(to_oanda.SUMMARY, Priority.READ, _last)
    at = cursor or FIRST_TRANSACTION
    if int(at) > int(newest):
        at = FIRST_TRANSACTION  # another account, or one that began anew: read all; a fill that is known is no news
    found: list[Fill] = []
    while int(at) < int(newest):
        page = await desk.read(to_oanda.transactions_since(at), Priority.READ, _transactions)
        after = [each for each in page if int(each["id"]) > int(at)]
        if not after:
            raise BrokerUnavailable(f"oanda: transactions after {at} are missing, the newest is {newest}; ask again")
        for each in after:
            found.extend(_fills(each, names, closes))
        at = str(after[-1]["id"])
    return tuple(found), at


def _fills(transaction: Json, names: from_oanda.Names, closes: Mapping[str, ClientOrderId]) -> list[Fill]:
    try:
        return from_oanda.readable(lambda: list(from_oanda.fills(transaction, names, closes)))
    except ValueError as error:
        raise BrokerUnavailable(f"oanda: transaction {transaction['id']} cannot be read: {error}") from error


def _last(answer: Json) -> str:
    return str(int(answer["lastTransactionID"]))


def _transactions(answer: Json) -> list[Json]:
    return sorted(answer["transactions"], key=lambda each: int(each["id"]))
