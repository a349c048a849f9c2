"""What the world does to the bot at a tick: lines, database, clock, venues, people. Each throw is on the tape."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bot.instruments import Rounding
from bot.models import ClientOrderId, KillCause, KillLevel, KillState, Side
from bot.simulation.checks_at_send import LOST_LOCK_S
from bot.simulation.line import VenueLine
from bot.simulation.ports import at_once

if TYPE_CHECKING:
    from bot.simulation.world import World

_TO_POSITIONS: Final = ("B1", "B7", "B11", "B11c", "B12", "B14", "B22")
STRANGER: Final = "web-"  # how the names of others' orders begin
_FAR: Final = Decimal("0.2")  # of the price: a foreign limit order that will not fill
_KILL_LEVELS: Final = (KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT)

# Faults that last a while: from, to (virtual seconds), and what of the line or the database they set.
_LINE: Final = {
    "N8": (2.0, 60.0, "dark_until"),
    "N13": (15.0, 75.0, "banned_until"),
    "B16": (10.0, 45.0, "closed_until"),
}
_DATABASE: Final = {
    "D2": (2.0, 45.0, "down_until"),
    "D3": (2.0, 30.0, "slow_until"),
    "D4": (2.0, 20.0, "crowded_until"),
    "D6": (2.0, 45.0, "read_only_until"),
}


class Disturbances:
    """The hand that throws. It knows the world, never the bot."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tape = world.tape
        self._strangers = 0

    def tick(self) -> None:
        """Everything that may go wrong at this tick."""
        tape, now = self._tape, self._world.loop.time()
        for fault, (least, most, what) in _DATABASE.items():
            if tape.fires(fault):
                setattr(self._world.database, what, now + tape.amount(fault, least, most))
        self._clock()
        self._process()
        self._person()
        for line in self._world.lines.values():
            self._line(line, now)
            self._stranger(line)
            self._bust(line)
            if not line.venue.is_flat:
                self._venue(line)

    def start(self) -> None:
        """What a new life of the process finds changed."""
        tape, world = self._tape, self._world
        if tape.fires("M5"):
            symbol = tape.dice("M5/which").choice(list(world.instruments))
            world.line_of(symbol).described.distort(symbol)

    def _clock(self) -> None:
        tape, clock = self._tape, self._world.clock
        if tape.fires("C1"):
            clock.step = timedelta(seconds=tape.amount("C1", -3_600.0, 3_600.0))
        if tape.fires("C2"):
            clock.step = timedelta(
                seconds=tape.amount("C2", 6.0, 20.0) * (1 if tape.dice("C2/way").random() < 0.5 else -1)
            )

    def _process(self) -> None:
        tape, world = self._tape, self._world
        if tape.fires("P4"):
            world.terminate()
        if tape.fires("P6"):
            world.suspend(tape.amount("P6", 3.0, 30.0))
        if tape.fires("P8"):
            world.suspend(tape.amount("P8", 30.0, 90.0))
        if tape.fires("D10"):
            world.start_second(tape.amount("D10", 1.0, 10.0))
        if tape.fires("D11"):
            known_after_s = tape.amount("D11", 0.0, LOST_LOCK_S)
            world.lose_lock(known_after_s=known_after_s, back_after_s=known_after_s + tape.amount("D11", 0.5, 10.0))
        if tape.fires("P9"):
            dice = tape.dice("P9/what")
            world.deploy(world.scenario.with_other_settings(dice), with_notice=dice.random() < 0.5)

    def _person(self) -> None:
        """A person is likelier to press while an entry works: that is when a cancel and a fill can race."""
        tape, world = self._tape, self._world
        if tape.is_on("O1"):
            throws = 10 if any(at_once(line.venue.open_orders()) for line in world.lines.values()) else 1
            if any(tape.fires("O1") for _ in range(throws)):
                self._press("O1")
        if tape.fires("O2"):
            self._press("O2")
            world.kill_now(tape.amount("O2", 0.5, 10.0))
        if tape.fires("O3"):
            at_once(world.stores.kills.set(self._press("O3")))

    def _press(self, fault: str) -> KillState:
        """At another terminal."""
        level = self._tape.dice(f"{fault}/level").choice(_KILL_LEVELS)
        at = self._world.clock.now()
        state = KillState(level=level, by="operator", cause=KillCause.COMMAND, reason="drill", at=at)
        at_once(self._world.stores.kills.set(state))
        self._world.checks.note_press(state)
        return state

    def _line(self, line: VenueLine, now: float) -> None:
        tape = self._tape
        for fault, (least, most, what) in _LINE.items():
            if tape.fires(fault):
                setattr(line, what, now + tape.amount(fault, least, most))
        if tape.fires("N9"):
            one_way = "deaf_until" if tape.dice("N9/way").random() < 0.5 else "mute_until"
            setattr(line, one_way, now + tape.amount("N9", 2.0, 45.0))
        if tape.fires("N10"):
            line.prices.stall(tape.amount("N10", 10.0, 90.0))
        if tape.fires("N11"):
            line.break_stream()
        if tape.fires("N14"):
            line.told.disagree(tape.amount("N14", 1.0, 10.0))
        if tape.fires("M3"):
            line.prices.freeze(tape.amount("M3", 5.0, 60.0))

    def _venue(self, line: VenueLine) -> None:
        """Things that happen to what is open."""
        tape, venue, checks = self._tape, line.venue, self._world.checks
        if not any(map(tape.is_on, _TO_POSITIONS)):
            return
        for position in at_once(venue.positions()):
            name = position.entry_order_id
            if position.stop_price is not None:
                checks.unprotected.pop(name, None)  # until now; no tick may have seen it
            if position.stop_order_id is not None and (tape.fires("B1") or tape.fires("B11")):
                at_once(venue.cancel(position.stop_order_id))
            if tape.fires("B14"):
                venue.raise_minimum(position.symbol, position.quantity * Decimal("0.7"))
            if tape.fires("B7") and venue.fill_more(name):
                checks.overfilled.add(name)
            if tape.fires("B22"):
                venue.split(name, 2)
                checks.touch(line.broker_id, name)
            elif tape.fires("B11c") or tape.fires("B12"):
                venue.close_by_other(self._foreign_name(), name, position.quantity)
                checks.touch(line.broker_id, name)

    def _stranger(self, line: VenueLine) -> None:
        """A person trades in the same account."""
        tape, venue = self._tape, line.venue
        for fault in ("B11o", "B11p"):
            if not tape.fires(fault):
                continue
            dice = tape.dice(f"{fault}/what")
            symbol = dice.choice([each for each in self._world.ticks if self._world.line_of(each) is line])
            instrument, name = self._world.instruments[symbol], self._foreign_name()
            side = dice.choice((Side.BUY, Side.SELL))
            _, bid, ask = self._world.ticks[symbol][-1]
            far = instrument.round_price((bid if side is Side.BUY else ask) * (1 - side.sign * _FAR), Rounding.DOWN)
            venue.open_by_other(name, symbol, side, instrument.min_quantity, far if fault == "B11o" else Decimal(0))
            self._world.checks.foreign[name] = line.broker_id
            if fault == "B11p":
                self._world.checks.touch(line.broker_id)

    def _bust(self, line: VenueLine) -> None:
        """The venue takes one of the newest fills back (B20)."""
        if not self._tape.is_on("B20"):
            return
        ours = [each for each in line.venue.can_be_taken_back() if not each.fill.client_order_id.startswith(STRANGER)]
        if ours and self._tape.fires("B20"):
            entry = line.venue.take_back(self._tape.dice("B20/which").choice(ours))
            self._world.checks.touch(line.broker_id, entry)

    def _foreign_name(self) -> ClientOrderId:
        self._strangers += 1
        return ClientOrderId(f"{STRANGER}{self._strangers}")
