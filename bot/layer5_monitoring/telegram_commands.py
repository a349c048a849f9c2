"""What can be asked and done by Telegram. There is no way here to resume, to raise a limit or to go live."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bot.differences import Reconciliation
from bot.errors import UsageError
from bot.instruments import to_cents
from bot.interfaces import Clock, Stores
from bot.layer5_monitoring.alerts import AlertDesk
from bot.layer5_monitoring.telegram_desk import Command, Plan
from bot.models import DaemonStatus, FindingStatus, KillCause, KillLevel, KillState, Position, PositionId, SignalId

_LISTED: Final = 10
_MOST_MUTED_MINUTES: Final = 720
_HIDDEN: Final = "amounts are hidden (TELEGRAM_BALANCES)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandParts:
    """What wiring hands over. `risk` and `close` answer in words; `close` takes one position to nothing at market."""

    desk: AlertDesk
    stores: Stores
    clock: Clock
    status: Callable[[], Awaitable[DaemonStatus]]
    reconciliations: Callable[[], Sequence[Reconciliation]]
    risk: Callable[[], Awaitable[str]]
    log: Callable[[int], Sequence[str]]
    press: Callable[[KillState], Awaitable[bool]]
    close: Callable[[PositionId], Awaitable[str]]
    balances: bool


def telegram_commands(parts: CommandParts) -> Mapping[str, Command]:
    """All of them, by name."""
    words = _Answers(parts)
    return {
        "status": Command(help="what the daemon does", act=words.status),
        "positions": Command(help="open positions", act=words.positions),
        "signals": Command(help="the newest signals", act=words.signals),
        "why": Command(help="why a signal was (not) traded: /why ID", act=words.why),
        "risk": Command(help="limits used", act=words.risk),
        "pnl": Command(help="results of the newest closed positions", act=words.pnl),
        "brokers": Command(help="each venue against our record", act=words.brokers),
        "alerts": Command(help="the newest alerts", act=words.alerts),
        "logs": Command(help="the newest warnings of the log", act=words.logs),
        "ack": Command(help="take note of an alert: /ack ID, or /ack all", act=words.ack, operator=True),
        "mute": Command(help="hold all but critical alerts: /mute MINUTES; 0 ends it", act=words.mute, operator=True),
        "pause": Command(help="no new entries, at once", act=words.pause, operator=True, kills=True),
        "close": Command(
            help="close a position: /close SYMBOL", plan=words.plan_close, act=words.close, operator=True, kills=True
        ),
        "flatten": Command(
            help="close everything", plan=words.plan_flatten, act=words.flatten, operator=True, kills=True
        ),
        "halt": Command(
            help="send nothing that increases risk", plan=words.plan_halt, act=words.halt, operator=True, kills=True
        ),
        "resume": Command(help="not here: on the page, or ./botctl resume", act=words.resume, operator=True),
    }


class _Answers:
    """One method for each command."""

    def __init__(self, parts: CommandParts) -> None:
        self._parts = parts

    async def status(self, words: Sequence[str], by: str) -> str:
        now = await self._parts.status()
        lines = [
            f"{now.health}, {now.mode}, kill switch {now.kill_level.value}",
            f"kill: {now.kill}",
            f"equity {self._money(now.equity, now.currency)}, {now.open_positions} open, {now.closed_positions} closed",
            f"signals: {_counts(now.signals)}",
            f"orders: {_counts(now.orders)}",
            f"last analysis: {now.last_analysis:%Y-%m-%d %H:%M:%S} UTC" if now.last_analysis else "no analysis yet",
            f"last error: {now.last_error or 'none'}",
        ]
        return "\n".join(lines)

    async def positions(self, words: Sequence[str], by: str) -> str:
        opened = await self._opened()
        return "\n".join([f"{len(opened)} open", *map(self._position, opened)])

    async def signals(self, words: Sequence[str], by: str) -> str:
        found = await self._parts.stores.signals.recent(_LISTED)
        lines = [f"{each.signal.symbol} {each.status} {each.rejected_by}: {each.signal.id}" for each in found]
        return "\n".join(["newest signals" if lines else "no signal yet", *lines])

    async def why(self, words: Sequence[str], by: str) -> str:
        if len(words) != 1:
            raise UsageError("/why needs the id of one signal; /signals lists the newest")
        record = await self._parts.stores.signals.get(SignalId(words[0]))
        failed = [each.says for each in record.findings if each.status is FindingStatus.FAIL]
        head = f"{record.signal.symbol}: {record.status} {record.rejected_by}"
        return "\n".join([head, record.reason, *failed, f"{len(record.findings)} rules asked, {len(failed)} failed"])

    async def risk(self, words: Sequence[str], by: str) -> str:
        return await self._parts.risk()

    async def pnl(self, words: Sequence[str], by: str) -> str:
        closed = await self._parts.stores.orders.closed_positions(_LISTED)
        lines = [
            f"{each.symbol} {each.exit_reason}: {self._money(each.net)}, {each.r_multiple:+.2f} R" for each in closed
        ]
        return "\n".join([f"newest {len(closed)} closed", *lines])

    async def brokers(self, words: Sequence[str], by: str) -> str:
        lines = [
            f"{each.broker_id}: {each.blocked or 'agrees with our record'}" for each in self._parts.reconciliations()
        ]
        return "\n".join(["venues", *lines])

    async def alerts(self, words: Sequence[str], by: str) -> str:
        newest = list(self._parts.desk.alerts())[: -_LISTED - 1 : -1]
        lines = [f"{each.id} {each.severity.value}{_ended(each.waits)}: {each.title}" for each in newest]
        return "\n".join(["newest alerts" if lines else "no alert", *lines])

    async def logs(self, words: Sequence[str], by: str) -> str:
        return "\n".join(["newest warnings", *self._parts.log(_LISTED)])

    async def ack(self, words: Sequence[str], by: str) -> str:
        if len(words) != 1:
            raise UsageError("/ack needs the id of one alert, or all; /alerts lists them")
        taken = await self._parts.desk.acknowledge(words[0], by=by)
        return f"{len(taken)} taken note of; no text message goes out for them"

    async def mute(self, words: Sequence[str], by: str) -> str:
        if len(words) != 1 or not words[0].isdecimal() or int(words[0]) > _MOST_MUTED_MINUTES:
            raise UsageError(f"/mute needs minutes from 0 to {_MOST_MUTED_MINUTES}")
        until = await self._parts.desk.mute(int(words[0]))
        return f"muted until {until:%H:%M:%S} UTC; critical alerts still come" if until else "not muted"

    async def pause(self, words: Sequence[str], by: str) -> str:
        return await self._press(KillLevel.PAUSE, words, by)

    async def flatten(self, words: Sequence[str], by: str) -> str:
        return await self._press(KillLevel.FLATTEN, words, by)

    async def halt(self, words: Sequence[str], by: str) -> str:
        return await self._press(KillLevel.HALT, words, by)

    async def plan_flatten(self, words: Sequence[str]) -> Plan:
        says = "FLATTEN closes every position at market, at every venue, and stops new entries."
        return Plan(says=says, words=tuple(words))

    async def plan_halt(self, words: Sequence[str]) -> Plan:
        says = "HALT sends nothing that increases risk. Positions keep their stops; exits go on."
        return Plan(says=says, words=tuple(words))

    async def plan_close(self, words: Sequence[str]) -> Plan:
        wanted = words[0] if len(words) == 1 else ""
        found = [each for each in await self._opened() if wanted in (each.symbol, each.id)]
        if not found:
            raise UsageError("/close needs the symbol or the id of one open position; /positions lists them")
        if len(found) > 1:
            listed = ", ".join(each.id for each in found)
            raise UsageError(f"{len(found)} positions of {wanted} are open; name one: {listed}")
        return Plan(says=f"CLOSE at market: {self._position(found[0])}", words=(found[0].id,))

    async def close(self, words: Sequence[str], by: str) -> str:
        return await self._parts.close(PositionId(words[0]))

    async def resume(self, words: Sequence[str], by: str) -> str:
        return "Entries are resumed on the page or by ./botctl resume, never from here."

    # -------------------------------------------------------------------------------------------------------- inside

    async def _press(self, level: KillLevel, words: Sequence[str], by: str) -> str:
        reason = " ".join(words)[:200]
        state = KillState(level=level, by=by, cause=KillCause.TELEGRAM, reason=reason, at=self._parts.clock.now())
        is_new = await self._parts.press(state)
        return f"{level.value.upper()}{'' if is_new else ' holds already'}; ./botctl resume or the page ends it"

    async def _opened(self) -> list[Position]:
        return [each for each in await self._parts.stores.orders.open_positions() if each.is_open]

    def _position(self, each: Position) -> str:
        held = f"{each.symbol} {each.direction.value} {each.quantity:f} at {each.entry_price:f}"
        return f"{held}, stop {each.stop_price:f}, {self._money(each.open_result)} ({each.broker_id}, {each.id})"

    def _money(self, amount: object, currency: str = "") -> str:
        return f"{to_cents(Decimal(str(amount))):.2f} {currency}".strip() if self._parts.balances else _HIDDEN


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _ended(waits: bool) -> str:
    return " (waits for /ack)" if waits else ""
