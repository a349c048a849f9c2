"""The candles and indicators that charts are drawn from."""

from tests.integration.api_world import day_api


async def test_a_chart_has_each_indicator_for_each_candle_and_null_before_there_were_enough() -> None:
    async with day_api() as world:
        answer = await world.get("/api/chart?symbol=BTC/USDT&timeframe=1h&limit=300")

    chart = answer.data
    assert answer.status == 200
    assert [len(each) for each in chart["candles"]] == [6] * 300
    assert {len(column) for column in chart["indicators"].values()} == {300}
    assert chart["indicators"]["rsi"][0] is None
    assert 0 < chart["indicators"]["rsi"][-1] < 100
    opened = [row[0] for row in chart["candles"]]
    assert opened == sorted(opened)


async def test_a_shorter_chart_is_the_end_of_a_longer_one() -> None:
    async with day_api() as world:
        whole = (await world.get("/api/chart?symbol=EUR_USD&timeframe=4h&limit=2000")).data
        short = (await world.get("/api/chart?symbol=EUR_USD&timeframe=4h&limit=7")).data

    assert short["candles"] == whole["candles"][-7:]
    assert short["indicators"]["atr"] == whole["indicators"]["atr"][-7:]


async def test_a_chart_of_what_nobody_follows_says_where_to_look() -> None:
    async with day_api() as world:
        answer = await world.get("/api/chart?symbol=BTC/USDT&timeframe=5m")
        unknown = await world.get("/api/chart?symbol=BTC/USDX")

    assert (answer.status, "/api/tasks" in answer.data["detail"]) == (404, True)
    assert (unknown.status, "BTC/USDT" in unknown.data["detail"]) == (404, True)


async def test_a_query_that_does_not_fit_is_told_back_field_by_field() -> None:
    async with day_api() as world:
        answer = await world.get("/api/chart?timeframe=2h&limit=0&limits=3&limit=4")
        once = await world.get("/api/chart?timeframe=2h&limit=0&limits=3")

    assert (answer.status, [each["name"] for each in answer.data["errors"]]) == (400, ["limit"])
    assert once.status == 400
    assert {(each["place"], each["name"]) for each in once.data["errors"]} == {
        ("query", "symbol"),
        ("query", "timeframe"),
        ("query", "limit"),
        ("query", "limits"),
    }
