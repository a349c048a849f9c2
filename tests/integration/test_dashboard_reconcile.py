"""Our book against the venues, on the page and as JSON."""

from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest

from bot.differences import AnswerKind, Difference, DifferenceKind, Reconciliation
from bot.instruments import OANDA, Symbol
from tests.fakes.dashboard_day import NOW
from tests.integration.test_dashboard import Daemon, served

FOREIGN = Difference(
    id="k3xq7n",
    fingerprint="f" * 32,
    broker_id=OANDA,
    kind=DifferenceKind.FOREIGN_POSITION,
    symbol=Symbol("EUR_USD"),
    subject="<script>4711",
    ours="nothing",
    theirs="long 10 at 1.1",
    says="opened by somebody else",
    seen_at=NOW,
    checks=1,
    counts=True,
    answers=tuple(AnswerKind),
)
COMPARED = Reconciliation(
    broker_id=OANDA, compared_at=NOW, complete=True, error="", matched=4, blocked="", differences=()
)


class Venues:
    """What the daemon says of its venues, for the test to change."""

    def __init__(self) -> None:
        self.compared = [COMPARED]

    def __call__(self) -> list[Reconciliation]:
        return self.compared


@pytest.fixture
def venues() -> Venues:
    return Venues()


@pytest.fixture
async def daemon(venues: Venues) -> AsyncIterator[Daemon]:
    async with served(reconciliations=venues) as running:
        await running.enter()
        yield running


async def test_a_clean_book_is_said_to_agree(daemon: Daemon) -> None:
    _, page = await daemon.get("/")
    assert "Everything agrees: 4 orders and positions" in page


async def test_each_difference_is_shown_with_its_id_and_that_it_waits(daemon: Daemon, venues: Venues) -> None:
    venues.compared = [replace(COMPARED, differences=(FOREIGN,))]
    _, page = await daemon.get("/")
    for each in ("k3xq7n", "foreign position", "long 10 at 1.1", "waits for an answer", "./botctl reconcile --fix"):
        assert each in page


async def test_what_is_ignored_says_by_whom(daemon: Daemon, venues: Venues) -> None:
    venues.compared = [replace(COMPARED, differences=(replace(FOREIGN, ignored_by="ada"),))]
    _, page = await daemon.get("/")
    assert "ignored by ada" in page
    assert "waits for an answer" not in page


async def test_a_venue_that_does_not_answer_is_told(daemon: Daemon, venues: Venues) -> None:
    venues.compared = [replace(COMPARED, complete=False, error="503", blocked="oanda did not answer: 503")]
    _, page = await daemon.get("/")
    assert "oanda did not answer: 503" in page
    assert "Everything agrees" not in page


async def test_the_api_tells_every_broker_with_all_that_an_answer_needs(daemon: Daemon, venues: Venues) -> None:
    venues.compared = [replace(COMPARED, differences=(FOREIGN,))]
    _, told = await daemon.get("/api/differences")
    (row,) = orjson.loads(told)["brokers"][0]["differences"]
    assert (row["id"], row["fingerprint"], row["kind"]) == ("k3xq7n", "f" * 32, "foreign position")
    assert row["answers"] == ["adopt", "ignore", "flatten"]
