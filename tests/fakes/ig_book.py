"""What the fake IG does with a deal: positions, working orders, confirms, activity and money."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bot.instruments import AssetClass, Instrument, Symbol
from bot.interfaces import Clock
from tests.fakes.venue_market import FakeMarket

ZERO = Decimal(0)
ONE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpicTerms:
    """How the venue counts one instrument. Shares are quoted in cents and forex in pips, as it does."""

    instrument: Instrument
    pip_words: str | None
    unit: Decimal
    decimals: int
    contract_size: Decimal
    min_size: Decimal
    currency: str
    expiry: str = "-"

    @classmethod
    def of(cls, instrument: Instrument) -> "EpicTerms":
        kind = instrument.asset_class
        pip, words, contract = Decimal(1), "1 Index Point", Decimal(1)
        if kind is AssetClass.FOREX:
            pip, contract = instrument.pip, Decimal(10_000)
            words = f"{pip} {instrument.quote_currency}/{instrument.base_currency}"
        elif kind is AssetClass.STOCK:
            pip, words = Decimal("0.01"), "1 Cents"
        decimals = max(0, -int((instrument.tick / pip).normalize().as_tuple().exponent))
        return cls(
            instrument=instrument,
            pip_words=words,
            unit=pip,
            decimals=decimals,
            contract_size=contract,
            min_size=instrument.min_quantity / contract,
            currency=str(instrument.quote_currency),
        )


@dataclass(slots=True, kw_only=True)
class Position:
    deal_id: str
    reference: str
    epic: str
    direction: str
    size: Decimal
    level: Decimal
    stop: Decimal | None
    limit: Decimal | None
    at: datetime
    hidden: int = 0

    @property
    def sign(self) -> int:
        return 1 if self.direction == "BUY" else -1


@dataclass(slots=True, kw_only=True)
class Working:
    deal_id: str
    reference: str
    epic: str
    direction: str
    size: Decimal
    level: Decimal
    stop: Decimal | None
    at: datetime


@dataclass(slots=True)
class IgBook:
    """One account."""

    market: FakeMarket
    clock: Clock
    terms: dict[str, EpicTerms]
    balance: Decimal
    margin_ratio: Decimal = Decimal("0.05")
    positions: dict[str, Position] = field(default_factory=dict)
    working: dict[str, Working] = field(default_factory=dict)
    confirms: dict[str, dict[str, Any]] = field(default_factory=dict)
    activity: list[dict[str, Any]] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)
    hide_next_positions: int = 0
    """So many looks at the list miss a position that was just opened."""
    reject_next: str = ""
    """The reason that the next deal is refused with."""
    beyond_level_says: str = "LEVEL_TOLERANCE_ERROR"
    """The reason for which a LIMIT is refused whose level the price has left."""
    closes_bear_their_position: bool = False
    """A row of activity about a close has the deal id of the position, as confirms of closes do."""
    _deals: int = 0
    _last_open: tuple[str, str, Decimal, datetime] | None = None

    # --------------------------------------------------------------------------------------------------------- prices

    def state(self, epic: str) -> str:
        if epic in self.status:
            return self.status[epic]
        return "TRADEABLE" if self.market.is_open(self.terms[epic].instrument.symbol, self.clock.now()) else "CLOSED"

    def quote(self, epic: str) -> tuple[Decimal, Decimal] | None:
        """In the venue's units; None: no price."""
        if self.state(epic) == "OFFLINE":
            return None
        terms = self.terms[epic]
        bid, ask = self.market.quote(Symbol(terms.instrument.symbol), self.clock.now())
        return bid / terms.unit, ask / terms.unit

    # ---------------------------------------------------------------------------------------------------------- deals

    def open(self, asked: dict[str, Any], reference: str) -> None:
        """At market; a LIMIT at its level or better, all of it now or nothing. What the venue calls the latter is not
        documented: `beyond_level_says`."""
        epic, size = asked["epic"], Decimal(asked["size"])
        reason = self._refusal(epic, asked, size)
        now, key = self.clock.now(), (epic, asked["direction"], size)
        if not reason and self._last_open and self._last_open[:3] == key and now - self._last_open[3] < ONE_SECOND:
            reason = "DUPLICATE_ORDER_ERROR"
        reason = reason or self._gone(epic, asked)
        if reason:
            self._confirm(reference, epic, reason=reason, direction=asked["direction"])
            return
        self._last_open = (*key, now)
        self._opened(asked, reference, self._price(epic, asked["direction"]))

    def _gone(self, epic: str, asked: dict[str, Any]) -> str:
        level, price = _decimal(asked.get("level")), self._price(epic, asked["direction"])
        if level is None or (price <= level if asked["direction"] == "BUY" else price >= level):
            return ""
        return self.beyond_level_says

    def rest(self, asked: dict[str, Any], reference: str) -> None:
        """A limit order."""
        epic, size = asked["epic"], Decimal(asked["size"])
        if reason := self._refusal(epic, asked, size, rests_at=_decimal(asked.get("level"))):
            self._confirm(reference, epic, reason=reason, direction=asked["direction"])
            return
        row = Working(
            deal_id=self._deal_id(),
            reference=reference,
            epic=epic,
            direction=asked["direction"],
            size=size,
            level=Decimal(asked["level"]),
            stop=_decimal(asked.get("stopLevel")),
            at=self.clock.now(),
        )
        self.working[row.deal_id] = row
        self._confirm(reference, epic, deal_id=row.deal_id, status="OPEN", direction=row.direction, size=size)
        self._note(row.deal_id, epic, reference, [("LIMIT_ORDER_OPENED", row.deal_id)], row.direction, size, row.level)

    def withdraw(self, deal_id: str, reference: str) -> None:
        row = self.working.pop(deal_id, None)
        if row is None:
            self._confirm(reference, "", reason="ORDER_NOT_FOUND")
            return
        self._confirm(reference, row.epic, deal_id=deal_id, status="DELETED", direction=row.direction, size=row.size)
        actions = [("LIMIT_ORDER_DELETED", deal_id)]
        self._note(deal_id, row.epic, row.reference, actions, row.direction, row.size, row.level)

    def close(self, asked: dict[str, Any], reference: str) -> None:
        """By deal id; it can only make the position smaller."""
        held, size = self.positions.get(asked["dealId"]), Decimal(asked["size"])
        if self.reject_next:
            reason, self.reject_next = self.reject_next, ""
            self._confirm(reference, "" if held is None else held.epic, reason=reason)
        elif held is None or asked["direction"] == held.direction or size > held.size:
            reason = "POSITION_NOT_FOUND" if held is None else "POSITION_NOT_AVAILABLE_TO_CLOSE"
            self._confirm(reference, "" if held is None else held.epic, reason=reason)
        elif self.state(held.epic) != "TRADEABLE":
            self._confirm(reference, held.epic, reason="MARKET_CLOSED")
        else:
            self.take_off(held, size, self._price(held.epic, asked["direction"]), reference, "PUBLIC_WEB_API")

    def amend(self, deal_id: str, asked: dict[str, Any], reference: str) -> None:
        held = self.positions[deal_id]
        stop = _decimal(asked.get("stopLevel"))
        if self.reject_next:
            reason, self.reject_next = self.reject_next, ""
            self._confirm(reference, held.epic, reason=reason)
            return
        if stop is not None and not self._stop_fits(held.epic, held.direction, stop):
            self._confirm(reference, held.epic, reason="ATTACHED_ORDER_LEVEL_ERROR")
            return
        held.stop, held.limit = stop, _decimal(asked.get("limitLevel"))
        self._confirm(reference, held.epic, deal_id=deal_id, status="AMENDED", direction=held.direction, size=held.size)

    def take_off(self, held: Position, size: Decimal, level: Decimal, reference: str, channel: str) -> None:
        """Close a part or all of it, whoever wants that."""
        self.balance += self._worth(held.epic, (level - held.level) * held.sign * size)
        held.size -= size
        whole = held.size == 0
        if whole:
            del self.positions[held.deal_id]
        status = "CLOSED" if whole else "PARTIALLY_CLOSED"
        self._confirm(reference, held.epic, deal_id=held.deal_id, status=status, direction=held.direction, size=size)
        action = "POSITION_CLOSED" if whole else "POSITION_PARTIALLY_CLOSED"
        opposite = "SELL" if held.direction == "BUY" else "BUY"
        deal_id = held.deal_id if self.closes_bear_their_position else self._deal_id()
        self._note(deal_id, held.epic, reference, [(action, held.deal_id)], opposite, size, level, channel)

    def match(self) -> None:
        """Let the market meet stops, limits and working orders."""
        for row in list(self.working.values()):
            quote = self.quote(row.epic)
            if quote is not None and self.state(row.epic) == "TRADEABLE":
                reached = quote[1] <= row.level if row.direction == "BUY" else quote[0] >= row.level
                if reached:
                    self._filled(row)
        for held in list(self.positions.values()):
            quote = self.quote(held.epic)
            if quote is None or self.state(held.epic) != "TRADEABLE":
                continue
            exit_at = quote[0] if held.direction == "BUY" else quote[1]
            hit = held.stop is not None and (exit_at - held.stop) * held.sign <= 0
            won = held.limit is not None and (exit_at - held.limit) * held.sign >= 0
            if hit or won:
                self.take_off(held, held.size, exit_at, f"SYS{self._deals}", "SYSTEM")

    # ----------------------------------------------------------------------------------------------------------- money

    @property
    def profit_loss(self) -> Decimal:
        total = ZERO
        for held in self.positions.values():
            quote = self.quote(held.epic)
            if quote is not None:
                exit_at = quote[0] if held.direction == "BUY" else quote[1]
                total += self._worth(held.epic, (exit_at - held.level) * held.sign * held.size)
        return total

    @property
    def deposit(self) -> Decimal:
        return sum((self._margin(each.epic, each.size, each.level) for each in self.positions.values()), ZERO)

    # ---------------------------------------------------------------------------------------------------------- inside

    def _refusal(self, epic: str, asked: dict[str, Any], size: Decimal, *, rests_at: Decimal | None = None) -> str:
        if self.reject_next:
            reason, self.reject_next = self.reject_next, ""
            return reason
        state, terms = self.state(epic), self.terms[epic]
        if state != "TRADEABLE":
            return {"OFFLINE": "MARKET_OFFLINE", "EDITS_ONLY": "MARKET_CLOSED_WITH_EDITS"}.get(state, "MARKET_CLOSED")
        if size < terms.min_size:
            return "MINIMUM_ORDER_SIZE_ERROR"
        stop = _decimal(asked.get("stopLevel"))
        if stop is not None and not self._stop_fits(epic, asked["direction"], stop, rests_at):
            return "ATTACHED_ORDER_LEVEL_ERROR"
        needed = self._margin(epic, size, self._price(epic, asked["direction"]))
        return "INSUFFICIENT_FUNDS" if needed > self.balance + self.profit_loss - self.deposit else ""

    def _stop_fits(self, epic: str, direction: str, stop: Decimal, level: Decimal | None = None) -> bool:
        quote = self.quote(epic)
        assert quote is not None
        bid, ask = quote
        return stop < (level or bid) if direction == "BUY" else stop > (level or ask)

    def _price(self, epic: str, direction: str) -> Decimal:
        quote = self.quote(epic)
        assert quote is not None
        return quote[1] if direction == "BUY" else quote[0]

    def _worth(self, epic: str, points: Decimal) -> Decimal:
        return points * self.terms[epic].unit * self.terms[epic].contract_size

    def _margin(self, epic: str, size: Decimal, level: Decimal) -> Decimal:
        return self._worth(epic, level * size) * self.margin_ratio

    def _opened(self, asked: dict[str, Any], reference: str, level: Decimal) -> None:
        held = Position(
            deal_id=self._deal_id(),
            reference=reference,
            epic=asked["epic"],
            direction=asked["direction"],
            size=Decimal(asked["size"]),
            level=level,
            stop=_decimal(asked.get("stopLevel")),
            limit=None,
            at=self.clock.now(),
            hidden=self.hide_next_positions,
        )
        self.positions[held.deal_id] = held
        self._confirm(
            reference, held.epic, deal_id=held.deal_id, status="OPEN", direction=held.direction, size=held.size
        )
        actions = [("POSITION_OPENED", held.deal_id)]
        self._note(held.deal_id, held.epic, reference, actions, held.direction, held.size, level)

    def _filled(self, row: Working) -> None:
        """It becomes a position with a new deal id, and a reference that the venue makes."""
        del self.working[row.deal_id]
        quote = self.quote(row.epic)
        assert quote is not None
        level = min(row.level, quote[1]) if row.direction == "BUY" else max(row.level, quote[0])
        held = Position(
            deal_id=self._deal_id(),
            reference=f"W{self._deals}",
            epic=row.epic,
            direction=row.direction,
            size=row.size,
            level=level,
            stop=row.stop,
            limit=None,
            at=self.clock.now(),
        )
        self.positions[held.deal_id] = held
        actions = [("LIMIT_ORDER_FILLED", row.deal_id), ("POSITION_OPENED", held.deal_id)]
        self._note(held.deal_id, row.epic, held.reference, actions, row.direction, row.size, level, "SYSTEM")

    def _deal_id(self) -> str:
        self._deals += 1
        return f"DIAAAA{self._deals:06}AA"

    def _confirm(
        self,
        reference: str,
        epic: str,
        *,
        deal_id: str = "",
        status: str | None = None,
        direction: str = "BUY",
        size: Decimal | None = None,
        reason: str = "SUCCESS",
    ) -> None:
        good = reason == "SUCCESS"
        self.confirms[reference] = {
            "date": self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000"),
            "status": status,
            "reason": reason,
            "dealStatus": "ACCEPTED" if good else "REJECTED",
            "epic": epic,
            "expiry": "-",
            "dealReference": reference,
            "dealId": deal_id or self._deal_id(),
            "affectedDeals": [{"dealId": deal_id, "status": "OPENED"}] if good else [],
            "level": None,
            "size": size,
            "direction": direction,
            "profit": None,
            "profitCurrency": None,
        }

    def _note(
        self,
        deal_id: str,
        epic: str,
        reference: str,
        actions: list[tuple[str, str]],
        direction: str,
        size: Decimal,
        level: Decimal,
        channel: str = "PUBLIC_WEB_API",
    ) -> None:
        self.activity.append(
            {
                "date": self.clock.now().strftime("%Y-%m-%dT%H:%M:%S"),
                "epic": epic,
                "period": "-",
                "dealId": deal_id,
                "channel": channel,
                "type": "POSITION",
                "status": "ACCEPTED",
                "description": actions[0][0],
                "details": {
                    "dealReference": reference,
                    "actions": [{"actionType": kind, "affectedDealId": affected} for kind, affected in actions],
                    "direction": direction,
                    "size": size,
                    "level": level,
                    "stopLevel": None,
                },
            }
        )


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)
