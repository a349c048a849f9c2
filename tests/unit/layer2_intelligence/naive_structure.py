"""SPEC sections 6 to 9 a second time: written from the text, one candle at a time, with everything looked up afresh.

Slow on purpose, and nothing here is shared with the project's own form but the series of candles. Events are plain
dictionaries, as they are printed.
"""

import math
from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any

from bot.models import CandleSeries
from tests.unit.layer2_intelligence.naive_divergence import pivot_low

Event = dict[str, Any]


class Bars:
    """Columns as lists, and the pivots of both sides by the candle at which they become known."""

    def __init__(self, series: CandleSeries, s: int) -> None:
        self.n = len(series)
        self.o, self.h, self.low, self.c = (
            each.tolist() for each in (series.open, series.high, series.low, series.close)
        )
        self.segment = series.segment.tolist()
        self.high_pivots = self._pivots([-each for each in self.h], s)
        self.low_pivots = self._pivots(self.low, s)

    def _pivots(self, x: list[float], s: int) -> dict[int, int]:
        found = {}
        for p in range(self.n):
            known_at = pivot_low(x, p, s, s, self.segment)
            if known_at is not None:
                found[known_at] = p
        return found


def structure(series: CandleSeries, s: int, *, wick: bool = False) -> list[Event]:
    bars = Bars(series, s)
    events: list[Event] = []
    swings: list[Event] = []  # {type, idx, level, broken}
    trend = 0
    for k in range(bars.n):
        known = []
        if k in bars.high_pivots:
            known.append(("high", bars.high_pivots[k]))
        if k in bars.low_pivots:
            known.append(("low", bars.low_pivots[k]))
        if len(known) == 2:
            (_, ph), (_, pl) = known
            if pl < ph or (pl == ph and bars.c[pl] > bars.o[pl]):
                known.reverse()
        for kind, p in known:
            level = bars.h[p] if kind == "high" else bars.low[p]
            new = {"type": kind, "idx": p, "level": level, "broken": False}
            if not swings or swings[-1]["type"] != kind:
                swings.append(new)
                ev = "swing"
            elif (kind == "high" and level > swings[-1]["level"]) or (kind == "low" and level < swings[-1]["level"]):
                swings[-1] = new
                ev = "swing_replace"
            else:
                continue
            before = [each["level"] for each in swings[:-1] if each["type"] == kind]
            label = None
            if before:
                word = "EQ" if level == before[-1] else "H" if level > before[-1] else "L"
                label = word + ("H" if kind == "high" else "L")
            events.append({"ev": ev, "known_at": k, "type": kind, "idx": p, "level": level, "label": label})

        sides = ["high", "low"]
        if wick and bars.c[k] > bars.o[k]:
            sides = ["low", "high"]
        for kind in sides:
            latest = [each for each in swings if each["type"] == kind][-1:]
            for swing in latest:
                up, down = (bars.h[k], bars.low[k]) if wick else (bars.c[k], bars.c[k])
                beyond = up > swing["level"] if kind == "high" else down < swing["level"]
                if swing["broken"] or not beyond:
                    continue
                swing["broken"] = True
                direction = 1 if kind == "high" else -1
                ev = "CHoCH" if trend == -direction else "BOS"
                trend = direction
                events.append(
                    {
                        "ev": ev,
                        "known_at": k,
                        "type": kind,
                        "idx": swing["idx"],
                        "level": swing["level"],
                        "dir": direction,
                    }
                )
    return events


def first(values: list[float], candles: range, compare: Callable[[float, float], bool], level: float) -> int | None:
    """The first of these candles whose value compares so with the level."""
    return next((j for j in candles if compare(values[j], level)), None)


def gaps(series: CandleSeries, atr: list[float], *, min_atr: float = 0.0) -> list[Event]:
    bars = Bars(series, 1)
    h, low, c, o = bars.h, bars.low, bars.c, bars.o
    found: list[Event] = []
    for m in range(1, bars.n - 1):
        if bars.segment[m - 1] != bars.segment[m + 1]:
            continue
        later = range(m + 2, bars.n)
        event: Event
        if h[m - 1] < low[m + 1] and c[m] > o[m]:
            bottom, top = h[m - 1], low[m + 1]
            middle = (top + bottom) / 2
            event = {
                "mid": m,
                "dir": 1,
                "bottom": bottom,
                "top": top,
                "known_at": m + 1,
                "touched": first(low, later, le, top),
                "half": first(low, later, le, middle),
                "filled": first(low, later, le, bottom),
                "inverted": first(c, later, lt, bottom),
            }
        elif low[m - 1] > h[m + 1] and c[m] < o[m]:
            bottom, top = h[m + 1], low[m - 1]
            middle = (top + bottom) / 2
            event = {
                "mid": m,
                "dir": -1,
                "bottom": bottom,
                "top": top,
                "known_at": m + 1,
                "touched": first(h, later, ge, bottom),
                "half": first(h, later, ge, middle),
                "filled": first(h, later, ge, top),
                "inverted": first(c, later, gt, top),
            }
        else:
            continue
        if min_atr > 0 and not top - bottom >= min_atr * atr[m]:
            continue
        found.append(event)
    return found


def gap_facts(found: list[Event]) -> list[tuple[int, int, str]]:
    """(known at, middle, fact) of each fact of some gaps, in the order in which they are told."""
    order = ["known_at", "touched", "half", "filled", "inverted"]
    rows = [(gap[fact], gap["mid"], order.index(fact)) for gap in found for fact in order if gap[fact] is not None]
    return [(at, middle, "formed" if rank == 0 else order[rank]) for at, middle, rank in sorted(rows)]


def sweeps(
    series: CandleSeries,
    atr: list[float],
    s: int,
    *,
    max_age: int = 200,
    reclaim: int = 3,
    max_depth: float = 1.5,
    equal: float = 0.1,
) -> list[Event]:
    bars = Bars(series, s)
    found: list[Event] = []
    for side, pivots in (("high", bars.high_pivots), ("low", bars.low_pivots)):
        sign = 1.0 if side == "high" else -1.0
        x = [sign * each for each in (bars.h if side == "high" else bars.low)]
        c = [sign * each for each in bars.c]
        levels = []
        for known_at, p in sorted(pivots.items()):
            live = range(known_at + 1, min(p + max_age, bars.n - 1) + 1)
            levels.append((p, known_at, x[p], first(x, live, gt, x[p])))
        for p, _, v, a in levels:
            if a is None:
                continue
            end = None
            for j in range(a, min(a + reclaim, bars.n)):
                if c[j] < v:
                    ext = max(x[a : j + 1])
                    end = (j, "swept" if ext - v <= max_depth * atr[a] else "broken", ext)
                    break
                if j == a + reclaim - 1:
                    end = (j, "broken", max(x[a : j + 1]))
            if end is None or len({bars.segment[j] for j in range(p, end[0] + 1)}) > 1:
                continue
            j, ev, ext = end
            untouched = [
                price
                for q, known_at, price, b in levels
                if known_at < a <= q + max_age and (b is None or b >= a) and bars.segment[q] == bars.segment[a]
            ]
            found.append(
                {
                    "ev": ev,
                    "side": side,
                    "dir": -1 if side == "high" else 1,
                    "level": sign * v,
                    "pivot": p,
                    "start": a,
                    "known_at": j,
                    "extreme": sign * ext,
                    "strength": cluster_size(v, untouched, equal * atr[a]),
                }
            )
    return sorted(found, key=lambda each: (each["known_at"], each["side"], each["pivot"]))


def cluster_size(level: float, others: list[float], within: float) -> int:
    """How many of `others` (the level is one of them) are joined to it by steps of at most `within`."""
    if math.isnan(within):
        return 1
    members = {level}
    while True:
        more = {each for each in others if any(abs(each - member) <= within for member in members)}
        if more <= members:
            return len([each for each in others if each in members])
        members |= more


def confluence(
    close: list[float],
    swept: dict[int, list[Event]],
    breaks: list[Event],
    zones: list[Event],
    *,
    ttl: tuple[int, int, int] = (30, 30, 30),
    accept_bos: bool = False,
) -> list[Event]:
    out: list[Event] = []
    state = "IDLE"
    row: Event = {}

    def tell(k: int, why: str) -> None:
        blank = dict.fromkeys(("choch_price", "fvg_zone_low", "fvg_zone_high", "bos_price"))
        out.append({"k": k, "why": why, "state": state, **blank, **row})

    for k, price in enumerate(close):
        if state == "COMPLETE":
            state = "IDLE"
        if state != "IDLE":
            against = price < row["anchor"] if row["dir"] == 1 else price > row["anchor"]
            if against or k > row["expires"]:
                state = "IDLE"
                tell(k, "INVALIDATED" if against else "EXPIRED")
        now = [each for each in swept.get(k, []) if each["ev"] == "swept"]
        if now and len({each["dir"] for each in now}) == 1:
            d = now[0]["dir"]
            if state in ("IDLE", "SWEPT") or row["dir"] != d:
                extremes = [each["extreme"] for each in now]
                state = "SWEPT"
                anchor = min(extremes) if d == 1 else max(extremes)
                row = {"dir": d, "anchor": anchor, "since": k, "expires": k + ttl[0]}
                tell(k, "SWEEP")
        here = [each for each in breaks if each["known_at"] == k and each["dir"] == row.get("dir")]
        if state == "SWEPT" and k > row["since"]:
            for each in here:
                if each["ev"] == "CHoCH" or accept_bos:
                    state = "CHOCH"
                    row = {**row, "choch_price": each["level"], "expires": k + ttl[1]}
                    tell(k, "CHOCH" if each["ev"] == "CHoCH" else "BOS")
                    break
        elif state == "CHOCH":
            usable = [
                zone
                for zone in zones
                if zone["dir"] == row["dir"]
                and row["since"] <= zone["known_at"] < k
                and zone["touched"] == k
                and (price >= zone["bottom"] if row["dir"] == 1 else price <= zone["top"])
            ]
            if usable:
                zone = max(usable, key=lambda each: int(each["known_at"]))
                state = "FVG"
                row = {**row, "fvg_zone_low": zone["bottom"], "fvg_zone_high": zone["top"], "expires": k + ttl[2]}
                tell(k, "FVG")
        elif state == "FVG" and here:
            state = "COMPLETE"
            row = {**row, "bos_price": here[0]["level"]}
            tell(k, "CHOCH" if here[0]["ev"] == "CHoCH" else "BOS")
    return out
