"""Which of our exits closed a trade, or a part of it. OANDA takes no name for that.

The answer to a close tells its number. So that it is known after a lost answer and after a crash too, the trade bears
the name before it is closed: its comment is "<exit>.<newest transaction then>". Of the transactions after it, the first
close of that trade is the exit's, unless an answer told another one; a second look finds the same.
"""

from collections import ChainMap
from collections.abc import Mapping
from functools import partial
from typing import Any

from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda import to_oanda
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.layer1_data.brokers.oanda.from_oanda import readable
from bot.models import ClientOrderId

Json = Mapping[str, Any]


def comment_of(name: ClientOrderId, newest: int) -> str:
    """What a trade bears before `name` closes a part of it."""
    return f"{name}.{newest}"


def named_in(comment: object) -> tuple[ClientOrderId, str] | None:
    """The exit, and a transaction before it; None where somebody else has written."""
    name, _, number = str(comment or "").rpartition(".")
    return (ClientOrderId(name), number) if name and number.isdigit() else None


class Closes:
    """Reads transactions in their order. `names` has our exits by the numbers of the orders that they made; `answered`
    those of them that the venue's answers told."""

    def __init__(self, answered: dict[str, ClientOrderId]) -> None:
        self.names = ChainMap[str, ClientOrderId]({}, answered)
        self._waiting: dict[str, tuple[int, ClientOrderId]] = {}

    def note(self, transaction: Json) -> None:
        """Take in one more transaction."""
        if transaction["type"] == "TRADE_CLIENT_EXTENSIONS_MODIFY":
            told = named_in((transaction.get("tradeClientExtensionsModify") or {}).get("comment"))
            self._waiting.pop(transaction["tradeID"], None)
            if told is not None:
                self._waiting[transaction["tradeID"]] = (int(transaction["id"]), told[0])
        elif closed := transaction.get("tradeClose"):
            waited = self._waiting.pop(closed["tradeID"], None)
            if waited is not None and transaction["type"] == "MARKET_ORDER":
                self.names.setdefault(transaction["id"], waited[1])
        for gone in transaction.get("tradesClosed") or ():
            self._waiting.pop(gone["tradeID"], None)

    def cursor(self, last: str) -> str:
        """Where to read on: no name is left behind whose close may still come."""
        return str(min([int(last), *(number - 1 for number, _ in self._waiting.values())]))


async def find_close(desk: Desk, name: ClientOrderId, opened: str | None) -> str | None:
    """The number of the order by which the exit `name` closed a trade, or a part of it, where no answer told it.

    `opened`: the transaction that opened the trade, if it is known; an open trade that bears `name` tells by itself.
    None only after every transaction was read in which it could be.
    """
    open_trades = await desk.read(to_oanda.EVERYTHING, Priority.READ, lambda answer: answer["account"]["trades"])
    told = (named_in((each.get("clientExtensions") or {}).get("comment")) for each in open_trades)
    since = next((each[1] for each in told if each is not None and each[0] == name), opened)
    if since is None:
        return None
    closes = Closes(desk.closes)
    async for each in desk.transactions_after(since, desk.newest):
        try:
            readable(partial(closes.note, each))
        except ValueError as error:
            raise BrokerUnavailable(f"oanda: transaction {each['id']} cannot be read: {error}") from error
    return next((number for number, exit_ in closes.names.items() if exit_ == name), None)
