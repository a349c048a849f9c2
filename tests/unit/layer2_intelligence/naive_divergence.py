"""SPEC sections 2 to 4 a second time: written from the text, one candle and one number at a time, slow on purpose.

Nothing here is shared with the project's own form but the nouns, so that a mistake would have to be made twice.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from bot.config import DivergenceSettings
from bot.models import CandleSeries, Direction, Divergence, DivergenceKind

NAN = math.nan
FAMILY = {
    "rsi": "momentum",
    "cci": "momentum",
    "stoch_k": "range",
    "willr": "range",
    "macd_hist": "trend",
    "mfi": "volume",
}
Column = list[float]


def sma(x: Sequence[float], n: int) -> Column:
    return [NAN if i < n - 1 else sum(x[i - n + 1 : i + 1]) / n for i in range(len(x))]


def ema(x: Sequence[float], n: int) -> Column:
    out: Column = []
    run: Column = []
    value = NAN
    for each in x:
        if len(run) < n:
            run = [] if math.isnan(each) else [*run, each]
            value = sum(run) / n if len(run) == n else NAN
        else:
            value += (each - value) * 2 / (n + 1)
        out.append(value)
    return out


def rsi(c: Sequence[float], n: int = 14) -> Column:
    out = [NAN] * len(c)
    if len(c) <= n:
        return out
    changes = [b - a for a, b in pairwise(c)]
    gain = sum(max(0.0, each) for each in changes[:n]) / n
    loss = sum(max(0.0, -each) for each in changes[:n]) / n
    for i in range(n, len(c)):
        if i > n:
            gain = (gain * (n - 1) + max(0.0, changes[i - 1])) / n
            loss = (loss * (n - 1) + max(0.0, -changes[i - 1])) / n
        out[i] = 50.0 if gain + loss == 0 else 100 * gain / (gain + loss)
    return out


def macd_hist(c: Sequence[float]) -> Column:
    m = [a - b for a, b in zip(ema(c, 12), ema(c, 26), strict=True)]
    return [a - b for a, b in zip(m, ema(m, 9), strict=True)]


def stoch_k(h: Sequence[float], low: Sequence[float], c: Sequence[float]) -> Column:
    raw = [NAN] * len(c)
    for i in range(13, len(c)):
        hh, ll = max(h[i - 13 : i + 1]), min(low[i - 13 : i + 1])
        raw[i] = 50.0 if hh == ll else 100 * (c[i] - ll) / (hh - ll)
    return sma(raw, 3)


def willr(h: Sequence[float], low: Sequence[float], c: Sequence[float]) -> Column:
    out = [NAN] * len(c)
    for i in range(13, len(c)):
        hh, ll = max(h[i - 13 : i + 1]), min(low[i - 13 : i + 1])
        out[i] = -50.0 if hh == ll else -100 * (hh - c[i]) / (hh - ll)
    return out


def typical(h: Sequence[float], low: Sequence[float], c: Sequence[float]) -> Column:
    return [(a + b + d) / 3 for a, b, d in zip(h, low, c, strict=True)]


def tied(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-12 * abs(a)


def cci(tp: Sequence[float], n: int = 20) -> Column:
    out = [NAN] * len(tp)
    for i in range(n - 1, len(tp)):
        window = tp[i - n + 1 : i + 1]
        mean = sum(window) / n
        deviation = sum(abs(each - mean) for each in window) / n
        out[i] = 0.0 if all(tied(tp[i], each) for each in window) else (tp[i] - mean) / (0.015 * deviation)
    return out


def mfi(tp: Sequence[float], v: Sequence[float], n: int = 14) -> Column:
    out = [NAN] * len(tp)
    for i in range(n, len(tp)):
        up = down = 0.0
        for j in range(i - n + 1, i + 1):
            if not tied(tp[j], tp[j - 1]):
                if tp[j] > tp[j - 1]:
                    up += tp[j] * v[j]
                else:
                    down += tp[j] * v[j]
        out[i] = 100 * up / (up + down) if up + down else NAN
    return out


def atr(h: Sequence[float], low: Sequence[float], c: Sequence[float], n: int = 14) -> Column:
    out = [NAN] * len(c)
    ranges = [NAN] + [max(h[i] - low[i], abs(h[i] - c[i - 1]), abs(low[i] - c[i - 1])) for i in range(1, len(c))]
    for i in range(n, len(c)):
        out[i] = sum(ranges[1 : n + 1]) / n if i == n else (out[i - 1] * (n - 1) + ranges[i]) / n
    return out


def adx(h: Sequence[float], low: Sequence[float], c: Sequence[float], n: int = 14) -> Column:
    out = [NAN] * len(c)
    plus = minus = true_range = 0.0
    dx = [NAN] * len(c)
    for i in range(1, len(c)):
        rise, fall = h[i] - h[i - 1], low[i - 1] - low[i]
        p = rise if rise > fall and rise > 0 else 0.0
        m = fall if fall > rise and fall > 0 else 0.0
        t = max(h[i] - low[i], abs(h[i] - c[i - 1]), abs(low[i] - c[i - 1]))
        if i < n:
            plus, minus, true_range = plus + p, minus + m, true_range + t
        else:
            plus, minus = plus - plus / n + p, minus - minus / n + m
            true_range = true_range - true_range / n + t
            if true_range != 0 and plus + minus != 0:
                dx[i] = 100 * abs(plus - minus) / (plus + minus)
    for i in range(2 * n - 1, len(c)):
        if i == 2 * n - 1:
            out[i] = sum(each for each in dx[n : 2 * n] if not math.isnan(each)) / n
        else:
            out[i] = out[i - 1] if math.isnan(dx[i]) else (out[i - 1] * (n - 1) + dx[i]) / n
    return out


def bandwidth(c: Sequence[float], n: int = 20) -> Column:
    out = [NAN] * len(c)
    for i in range(n - 1, len(c)):
        window = c[i - n + 1 : i + 1]
        mean = math.fsum(window) / n
        deviation = 0.0 if min(window) == max(window) else math.sqrt(math.fsum((x - mean) ** 2 for x in window) / n)
        out[i] = ((mean + 2 * deviation) - (mean - 2 * deviation)) / mean
    return out


def columns(series: CandleSeries, lookback: int = 100) -> dict[str, Column]:
    h, low, c, v = (x.tolist() for x in (series.high, series.low, series.close, series.volume))
    tp, width = typical(h, low, c), bandwidth(c)
    return {
        "rsi": rsi(c),
        "macd_hist": macd_hist(c),
        "stoch_k": stoch_k(h, low, c),
        "willr": willr(h, low, c),
        "cci": cci(tp),
        "mfi": mfi(tp, v),
        "atr": atr(h, low, c),
        "adx": adx(h, low, c),
        "bandwidth": width,
        "bandwidth_median": [
            NAN if i < 19 + lookback - 1 else median(width[i - lookback + 1 : i + 1]) for i in range(len(c))
        ],
        "volume_mean": sma(v, 20),
    }


def pivot_low(x: Sequence[float], p: int, left: int, right: int, segment: Sequence[int]) -> int | None:
    """`known_at` of the pivot low at p; None if there is none."""
    if p > 0 and x[p - 1] == x[p]:
        return None
    e = p
    while e + 1 < len(x) and x[e + 1] == x[e]:
        e += 1
    if p - left < 0 or e + right >= len(x):
        return None
    if any(math.isnan(each) for each in x[p - left : e + right + 1]):
        return None
    if not all(x[j] > x[p] for j in range(p - left, p)):
        return None
    if any(x[j] < x[p] for j in range(e + 1, e + right + 1)):
        return None
    return e + right if len(set(segment[p - left : e + right + 1])) == 1 else None


def anchor(o: Sequence[float], p: int, settings: DivergenceSettings) -> int | None:
    best: int | None = None
    for q in sorted(range(p - settings.osc_win, p + settings.osc_win + 1), key=lambda q: (abs(q - p), q)):
        if q < 0 or q >= len(o) or math.isnan(o[q]):
            return None
        if best is None or o[q] < o[best]:
            best = q
    if best is None or not settings.osc_turn:
        return best
    if best - 1 < 0 or best + 1 >= len(o):
        return None
    return best if o[best] <= o[best - 1] and o[best] <= o[best + 1] else None


def line_is_clear(x: Sequence[float], a: int, b: int) -> bool:
    eps = 1e-9 * max(abs(x[a]), abs(x[b]))
    return all((x[j] - x[a]) * (b - a) >= (x[b] - x[a]) * (j - a) - eps * (b - a) for j in range(a + 1, b))


def divergences(series: CandleSeries, cols: dict[str, Column], settings: DivergenceSettings) -> list[Divergence]:
    events: list[Divergence] = []
    for direction in Direction:
        sign = direction.sign
        prices = (series.low, series.high) if direction is Direction.LONG else (-series.high, -series.low)
        x, high = prices[0].tolist(), prices[1].tolist()
        oscillators = {
            name: [sign * (each if name == "macd_hist" else round(each, 6)) for each in cols[name]] for name in FAMILY
        }
        events += _one_side(series, x, high, oscillators, cols["atr"], direction, settings)
    bear_first = {Direction.SHORT: "bear", Direction.LONG: "bull"}
    return sorted(events, key=lambda e: (e.known_at, bear_first[e.direction], e.oscillator, e.kind.value))


def _one_side(
    series: CandleSeries,
    x: Column,
    high: Column,
    oscillators: dict[str, Column],
    atr_column: Column,
    direction: Direction,
    settings: DivergenceSettings,
) -> list[Divergence]:
    segment = series.segment.tolist()
    full = [pivot_low(x, p, settings.left, settings.right, segment) for p in range(len(x))]
    events: list[Divergence] = []
    for p2 in range(len(x)):
        k = pivot_low(x, p2, settings.left, settings.confirm, segment)
        a = atr_column[p2]
        if k is None or math.isnan(a):
            continue
        for name, o in oscillators.items():
            do = getattr(settings, f"min_osc_{name}") * (a if name == "macd_hist" else 1.0)
            q2 = anchor(o, p2, settings)
            if q2 is None:
                continue
            for kind in DivergenceKind:
                for p1 in range(p2 - settings.min_sep, max(-1, p2 - settings.max_sep - 1), -1):
                    known = full[p1]
                    if known is None or known > k:
                        continue
                    q1 = anchor(o, p1, settings)
                    if q1 is None or q1 >= q2 or segment[min(p1, q1)] != segment[p2]:
                        continue
                    if not _diverges(kind, x[p1], x[p2], o[q1], o[q2], settings.min_price_atr * a, do):
                        continue
                    if not max(high[p1 + 1 : p2]) - max(x[p1], x[p2]) >= settings.min_swing_atr * a:
                        continue
                    if not (line_is_clear(x, p1, p2) and line_is_clear(o, q1, q2)):
                        continue
                    sign = direction.sign
                    events.append(
                        Divergence(
                            oscillator=name,
                            kind=kind,
                            direction=direction,
                            p1=p1,
                            p2=p2,
                            q1=q1,
                            q2=q2,
                            price1=sign * x[p1],
                            price2=sign * x[p2],
                            osc1=sign * o[q1],
                            osc2=sign * o[q2],
                            known_at=k,
                        )
                    )
                    break
    return events


def _diverges(kind: DivergenceKind, x1: float, x2: float, o1: float, o2: float, dp: float, do: float) -> bool:
    if kind is DivergenceKind.REGULAR:
        return x2 < x1 - dp and o2 > o1 + do
    return x2 > x1 + dp and o2 < o1 - do


Setup = tuple[int, Direction, DivergenceKind, int, int, tuple[str, ...], float]


def setups(events: Sequence[Divergence], atr_column: Sequence[float], settings: DivergenceSettings) -> list[Setup]:
    """(known_at, direction, kind, p1, p2, families, score) of each group of events."""
    out: list[Setup] = []
    seen: list[tuple[int, int, Direction]] = []
    group_of: Callable[[Divergence], tuple[int, int, Direction]] = lambda e: (e.known_at, e.p2, e.direction)  # noqa: E731
    for event in events:
        if group_of(event) not in seen:
            seen.append(group_of(event))
    for known_at, p2, direction in seen:
        group = [e for e in events if group_of(e) == (known_at, p2, direction)]
        regular = [e for e in group if e.kind is DivergenceKind.REGULAR]
        hidden = [e for e in group if e.kind is DivergenceKind.HIDDEN]
        left = hidden if len(hidden) > len(regular) else regular
        first = [e.p1 for e in left]
        p1 = sorted(set(first), key=lambda p: (first.count(p), p))[-1]
        families = tuple(sorted({FAMILY[e.oscillator] for e in left}))
        a = atr_column[p2]
        sizes = []
        for e in left:
            do = getattr(settings, f"min_osc_{e.oscillator}") * (a if e.oscillator == "macd_hist" else 1.0)
            sizes.append(min(1.0, abs(e.osc2 - e.osc1) / (4 * do)))
        price1 = next(e.price1 for e in left if e.p1 == p1)
        score = 0.5 * len(families) / 4 + 0.3 * median(sizes) + 0.2 * min(1.0, abs(left[0].price2 - price1) / a)
        out.append((known_at, direction, left[0].kind, p1, p2, families, score))
    return out
