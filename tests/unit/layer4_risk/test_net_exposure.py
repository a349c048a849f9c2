"""The worst case of a net: against a naive look at every subset of what is on its way, and it never shrinks."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from bot.config import RiskSettings
from bot.instruments import BINANCE, IG, OANDA, BrokerId, Symbol, counted_as, default_registry
from bot.layer4_risk.limits import stake_checks
from bot.layer4_risk.net_exposure import Exposure, net_exposures
from bot.layer4_risk.stakes import PastEntry, Stake
from bot.layer4_risk.usage import Books, used_limits
from bot.models import Direction, LimitCheck
from tests.builders import START

D = Decimal
REGISTRY = default_registry()
EQUITY = D(10_000)
WEIGHTS: Mapping[str, Callable[[Stake], Mapping[str, int]]] = {
    "currencies": lambda stake: stake.currencies(REGISTRY),
    "groups": lambda stake: {stake.group(REGISTRY): 1},
    "strategies": lambda stake: {stake.strategy: 1},
}


def stake(direction: Direction, *, held: int = 0, pending: int = 0, symbol: str = "EUR_USD", **changes: Any) -> Stake:
    """EUR_USD at OANDA; amounts without sign."""
    standard = Stake(
        broker_id=OANDA,
        symbol=Symbol(symbol),
        direction=direction,
        strategy="divergence",
        open=D(direction.sign * held),
        worst=D(direction.sign * (held + pending)),
        risk_open=D(held) / 100,
        risk_worst=D(held + pending) / 100,
    )
    return replace(standard, **changes)


def long(**amounts: Any) -> Stake:
    return stake(Direction.LONG, **amounts)


def short(**amounts: Any) -> Stake:
    return stake(Direction.SHORT, **amounts)


def books(*stakes: Stake, limit: str = "1.5", entries: Sequence[PastEntry] = ()) -> Books:
    return Books(
        now=START,
        settings=RiskSettings(max_currency_exposure=D(limit)),
        registry=REGISTRY,
        currency="USD",
        equity=dict.fromkeys((OANDA, IG, BINANCE), EQUITY),
        total_equity=EQUITY,
        stakes=stakes,
        entries=entries,
    )


def currency_checks(before: Books, entry: Stake) -> list[LimitCheck]:
    return [each for each in stake_checks(before, entry, sized=True) if each.code == "CURRENCY_EXPOSURE"]


def refused(before: Books, entry: Stake) -> bool:
    return not all(each.passed for each in currency_checks(before, entry))


def currencies(*stakes: Stake) -> Mapping[str, Exposure]:
    return {each.name: each for each in net_exposures(stakes, WEIGHTS["currencies"])}


def amounts(of: Exposure) -> list[Decimal]:
    return [of.open, of.lowest, of.highest, of.worst]


def nets_of_every_subset(
    stakes: Sequence[Stake], weights_of: Callable[[Stake], Mapping[str, int]]
) -> Mapping[str, list[Decimal]]:
    """Each name with its net in every case: whichever of the stakes are filled whole, the others as far as now."""
    found: dict[str, list[Decimal]] = defaultdict(list)
    names = {name for each in stakes for name in weights_of(each)}
    for size in range(len(stakes) + 1):
        for filled in combinations(range(len(stakes)), size):
            for name in names:
                parts = (
                    weights_of(each).get(name, 0) * (each.worst if number in filled else each.open)
                    for number, each in enumerate(stakes)
                )
                found[name].append(sum(parts, D(0)))
    return found


AMOUNTS = st.sampled_from((0, 1, 5_000, 10_000, 12_345))
STAKES = st.builds(
    stake,
    st.sampled_from(Direction),
    held=AMOUNTS,
    pending=AMOUNTS,
    symbol=st.sampled_from(("EUR_USD", "GBP_USD", "EUR_GBP", "USD_JPY", "BTC/USDT", "ETH/BTC", "GONE")),
    broker_id=st.sampled_from((OANDA, IG, BINANCE)),
    strategy=st.sampled_from(("divergence", "smc")),
)
PENDING = st.builds(replace, STAKES, open=st.just(D(0)), risk_open=st.just(D(0)))
MANY = st.lists(STAKES, max_size=6)


# ------------------------------------------------------------------------------------------------ as it was found


def test_a_short_of_unknown_fate_makes_no_room_for_a_long() -> None:
    held, new = long(held=10_000), long(pending=10_000)
    (alone,) = currency_checks(books(held), new)
    (beside,) = currency_checks(books(held, short(pending=10_000)), new)
    assert (alone.passed, beside.passed) == (False, False)
    assert alone.used == beside.used == 2


def test_an_open_long_beside_a_short_of_unknown_fate_is_a_worst_case_of_the_long() -> None:
    found = currencies(long(held=10_000), short(pending=10_000))
    assert amounts(found["EUR"]) == [10_000, 0, 10_000, 10_000]
    assert amounts(found["USD"]) == [-10_000, -10_000, 0, -10_000]


# ------------------------------------------------------------------------------------------------- what it is made of


def test_an_open_short_does_net_an_open_long_and_a_fill_makes_room() -> None:
    assert currencies(long(held=10_000), short(held=10_000))["EUR"].worst == 0
    assert not refused(books(long(held=10_000), short(held=10_000)), long(pending=10_000))


def test_of_a_part_filled_short_only_what_is_filled_nets() -> None:
    euro = currencies(long(held=10_000), short(held=4_000, pending=6_000))["EUR"]
    assert amounts(euro) == [6_000, 0, 6_000, 6_000]


def test_the_worst_case_is_the_end_farther_from_zero_with_its_sign() -> None:
    euro = currencies(long(held=2_000, pending=1_000), short(pending=9_000))["EUR"]
    assert amounts(euro) == [2_000, -7_000, 3_000, -7_000]


def test_each_leg_of_a_pair_counts_on_its_own_currency() -> None:
    found = currencies(long(held=10_000), long(pending=10_000, symbol="USD_JPY"))
    assert {name: each.worst for name, each in found.items()} == {"EUR": 10_000, "USD": -10_000, "JPY": -10_000}


def test_a_hedge_passes_an_exceeded_limit_until_it_would_exceed_the_other_side() -> None:
    held = books(long(held=20_000))
    assert refused(held, long(pending=1))
    assert not refused(held, short(pending=35_000))
    assert refused(held, short(pending=35_001))  # 1.5 x equity short, and it was two long before


def test_a_side_that_is_exceeded_hides_nothing_of_the_other() -> None:
    shorts_on_their_way = books(short(pending=40_000))
    assert refused(shorts_on_their_way, long(pending=15_001))
    assert not refused(shorts_on_their_way, long(pending=15_000))


def test_the_refusal_says_the_worst_case_what_is_open_and_the_bound() -> None:
    (told,) = currency_checks(books(long(held=10_000), short(pending=10_000)), long(pending=10_000))
    assert told.says.startswith(
        "net EUR long at all: worst case 2.00 x equity of at most 1.50 x equity, open now 1.00 x equity; close "
    )


# ---------------------------------------------------------------------------------------------------- properties


@given(MANY)
@example([long(held=10_000), short(pending=10_000)])
def test_the_ends_are_those_of_every_subset_for_each_currency_group_and_strategy(stakes: list[Stake]) -> None:
    for weights_of in WEIGHTS.values():
        naive = nets_of_every_subset(stakes, weights_of)
        found = {each.name: each for each in net_exposures(stakes, weights_of)}
        assert {name: (each.lowest, each.highest) for name, each in found.items()} == {
            name: (min(nets), max(nets)) for name, nets in naive.items()
        }
        assert {name: abs(each.worst) for name, each in found.items()} == {
            name: max(map(abs, nets)) for name, nets in naive.items()
        }


@given(st.lists(STAKES, max_size=4), PENDING)
def test_what_the_gate_lets_pass_exceeds_the_limit_in_no_subset_that_it_adds_to(
    stakes: list[Stake], entry: Stake
) -> None:
    """Of currencies that were within the limit in every subset before; the others are for the hedge to mend."""

    def exceeded(held: Sequence[Stake]) -> set[str]:
        def weights_of(each: Stake) -> Mapping[str, int]:
            legs = each.currencies(REGISTRY).items()
            return {counted_as(name): weight for name, weight in legs if counted_as(name) != "USD"}

        nets = nets_of_every_subset(held, weights_of)
        return {name for name, each in nets.items() if max(map(abs, each)) > EQUITY * D("1.5")}

    before = exceeded(stakes)
    if not before:
        assert refused(books(*stakes), entry) == bool(exceeded([*stakes, entry]))


@given(MANY, PENDING)
def test_one_more_entry_on_its_way_lowers_no_worst_case(stakes: list[Stake], entry: Stake) -> None:
    for weights_of in WEIGHTS.values():
        before, after = (
            {each.name: abs(each.worst) for each in net_exposures(held, weights_of)}
            for held in (stakes, [*stakes, entry])
        )
        assert all(after[name] >= worst for name, worst in before.items())


@given(MANY, PENDING)
def test_one_more_entry_on_its_way_lowers_no_limit_that_is_used(stakes: list[Stake], entry: Stake) -> None:
    before, after = used_of(books(*stakes)), used_of(books(*stakes).with_entry(entry))
    assert all(after[key] >= used for key, used in before.items())


def used_of(seen: Books) -> Mapping[tuple[str, str, str], Decimal]:
    brokers: Sequence[BrokerId] = (OANDA, IG, BINANCE)
    rows = used_limits(seen, brokers)
    return {(each.code, each.name, each.scope): each.used for each in rows if each.used is not None}
