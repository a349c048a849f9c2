"""Every request of one account goes through here: by priority, within the budget, never believed if it is stale."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, TypeVar

from bot.errors import BrokerUnavailable
from bot.layer1_data.broker_interface import LastWord, nothing_against
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter
from bot.layer1_data.brokers.oanda.errors import Failure, unanswered
from bot.layer1_data.brokers.oanda.from_oanda import readable
from bot.layer1_data.brokers.oanda.lines import Lines
from bot.layer1_data.brokers.oanda.to_oanda import Call, transactions_since
from bot.models import ClientOrderId

_PAUSE_S: Final = 1.0  # after 429; the budget is counted by the second, and no Retry-After is documented
_TOO_MANY: Final = 429
_NOT_THERE: Final = 404

Read = TypeVar("Read")
Json = Mapping[str, Any]


class Desk:
    """Asks and sends. It knows the newest transaction that the venue told, so that an older answer is seen as such.

    `closes` has our exits by the numbers of the orders that the venue made for them, as its answers told.
    """

    def __init__(self, lines: Lines, history: Lines, limiter: RequestLimiter) -> None:
        self._lines = lines
        self._history = history
        self._limiter = limiter
        self._newest = 0
        self.closes: dict[str, ClientOrderId] = {}

    @property
    def newest(self) -> int:
        """The newest transaction that was told."""
        return self._newest

    async def transactions_after(self, number: str, newest: int) -> AsyncIterator[Json]:
        """Every transaction after `number` up to `newest` at least, over all pages. Raises BrokerUnavailable."""
        at = int(number)
        while at < newest:
            page = await self.read(transactions_since(str(at)), Priority.READ, _numbered)
            after = [each for each in page if each[0] > at]
            if not after:
                raise BrokerUnavailable(
                    f"oanda: transactions after {at} are missing, the newest is {newest}; ask again"
                )
            at = after[-1][0]
            for _, each in after:
                yield each

    async def send(self, call: Call, priority: Priority, last_word: LastWord = nothing_against) -> Json:
        """Exactly one request that may change something. Raises Failure, or what the last word raises."""
        answer = await self._ask(call, priority, last_word)
        self._newest = max(self._newest, _told_by(answer))
        return answer

    async def read(self, call: Call, priority: Priority, translate: Callable[[Json], Read]) -> Read:
        """The translated answer. Raises BrokerUnavailable, in the venue's words."""
        known = _Known(self)
        try:
            answer = await self._ask(call, priority, known.note)
        except Failure as failure:
            raise unanswered(call.name, failure) from failure
        return self._believed(call, answer, known, translate)

    async def read_if_any(self, call: Call, priority: Priority, translate: Callable[[Json], Read]) -> Read | None:
        """As `read`; None if the venue itself says that there is no such thing."""
        known = _Known(self)
        try:
            answer = await self._ask(call, priority, known.note)
        except Failure as failure:
            told = failure.body if failure.status == _NOT_THERE else None
            if told is None or "errorMessage" not in told or self._is_stale(told, known):
                raise unanswered(call.name, failure) from failure
            return None
        return self._believed(call, answer, known, translate)

    async def _ask(self, call: Call, priority: Priority, last_word: LastWord) -> Json:
        await self._limiter.acquire(priority)
        lines = self._history if priority is Priority.HISTORY else self._lines
        try:
            return await lines.ask(call, priority, last_word)
        except Failure as failure:
            if failure.status == _TOO_MANY:
                self._limiter.hold(_PAUSE_S)
            raise

    def _believed(self, call: Call, answer: Json, known: "_Known", translate: Callable[[Json], Read]) -> Read:
        try:
            if readable(lambda: self._is_stale(answer, known)):
                raise _unavailable(call, f"its answer is older than transaction {known.number}; ask again")
            return readable(lambda: translate(answer))
        except ValueError as error:
            raise _unavailable(call, f"its answer cannot be read: {error}") from error

    def _is_stale(self, answer: Json, known: "_Known") -> bool:
        """An answer that does not know what another one had told before it was asked for (RELIABILITY B18)."""
        told = _told_by(answer)
        self._newest = max(self._newest, told)
        return 0 < told < known.number


class _Known:
    """The newest transaction that was told when the bytes of a question left."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.number = 0

    async def note(self) -> None:
        self.number = self._desk.newest


def _told_by(answer: Json) -> int:
    """The newest transaction that an answer knows; 0 if it does not say."""
    told = str(answer.get("lastTransactionID", ""))
    return int(told) if told.isdigit() else 0


def _numbered(answer: Json) -> list[tuple[int, Json]]:
    return sorted(((int(each["id"]), each) for each in answer["transactions"]), key=lambda each: each[0])


def _unavailable(call: Call, words: str) -> BrokerUnavailable:
    return BrokerUnavailable(f"oanda: {call.name}: {words}")
