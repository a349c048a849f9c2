"""`botctl why`: one signal with every rule's answer, its claim against the candles, and what was decided after."""

import asyncio
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from bot.commands.status import find_daemon, settings_of_daemon
from bot.commands.verdict_table import claim_table, rules_table
from bot.errors import NotFound
from bot.instruments import to_cents
from bot.interfaces import Stores
from bot.layer5_monitoring.story import Story
from bot.layer5_monitoring.story import story_of as stored_story
from bot.models import OutcomeVerdict, SignalId, SignalRecord

_LISTED: Final = 20
_LOOK_BACK: Final = 5_000  # for a hint where an id is not known
_OUTCOMES: Final = {
    OutcomeVerdict.OPEN: "still followed",
    OutcomeVerdict.TARGET_HIT: "the target was reached first",
    OutcomeVerdict.STOP_HIT: "the stop was reached first",
    OutcomeVerdict.NEITHER: "neither stop nor target was reached in time",
}


def why(
    signal_id: Annotated[str | None, Parameter(help="id of a signal; without one the newest are listed")] = None,
    /,
    *,
    data: Annotated[str | None, Parameter(help="data directory of the daemon; default: DATA_DIRECTORY")] = None,
) -> None:
    """Explain a signal of the running daemon: every rule, which failed first, and what came of it."""
    loaded = settings_of_daemon(data)
    if not loaded.settings.run.database_url:
        find_daemon(loaded.data_directory)  # says how to start one; its database runs as long as it does

    async def ask() -> None:
        from bot.wiring.stored import stores_of_running_daemon

        async with stores_of_running_daemon(loaded) as stores:
            if signal_id is None:
                show_newest(await stores.signals.recent(_LISTED))
            else:
                show(await story_of(stores, signal_id))

    asyncio.run(ask())


async def story_of(stores: Stores, signal_id: str) -> Story:
    """Everything known of one signal. Raises NotFound, naming the nearest ids."""
    try:
        return await stored_story(stores, SignalId(signal_id))
    except NotFound:
        recent = [each.signal.id for each in await stores.signals.recent(_LOOK_BACK)]
        near = get_close_matches(signal_id, recent, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "./botctl why lists the newest signals"
        raise NotFound(f"there is no signal {signal_id!r}; {hint}") from None


def show_newest(records: Sequence[SignalRecord]) -> None:
    """The newest signals, to pick one."""
    if not records:
        print("No signal has been judged yet; a fresh daemon needs some minutes.")
        return
    print(f"The newest {len(records)} signals; ./botctl why ID tells more:")
    for each in records:  # one plain line each, so that an id is never broken
        print(f"{each.signal.id}  {each.status}  {each.reason}")


def show(story: Story) -> None:
    """The whole story of one signal, in the order in which it happened."""
    console, record = Console(file=sys.stdout, highlight=False), story.record
    signal = record.signal
    direction = signal.direction.value if signal.direction else "no direction"
    console.print(Text(f"{signal.symbol} {signal.timeframe.value} {direction}, by {signal.analyst}", style="bold"))
    targets = ", ".join(map(str, signal.targets)) or "none"
    console.print(
        f"candle closed {signal.candle_closed_at:%Y-%m-%d %H:%M} UTC; entry {signal.entry}, stop {signal.stop_loss}, "
        f"targets {targets}, confidence {signal.confidence:.2f}, quality score {record.score:.2f} of 10"
    )
    failed = next((each for each in record.findings if each.code == record.rejected_by), None)
    if failed is not None:
        console.print(Text(f"failed first: {failed.says}", style="bold red"))
    elif record.rejected_by:
        console.print(Text(f"rejected by {record.rejected_by}", style="bold red"))
    else:
        console.print(Text("no rule failed", style="green"))
    console.print(rules_table(record.findings, record.rejected_by))
    if signal.claim is None:
        console.print("This signal claims no pivots.")
    else:
        console.print(claim_table(signal.claim, record.findings))
    _show_decisions(console, story)


def _show_decisions(console: Console, story: Story) -> None:
    record, position, outcome = story.record, story.position, story.outcome
    console.print(Text(f"decided: {record.status}{': ' if record.reason else ''}{record.reason}", style="bold"))
    for order in story.orders:
        filled = f", filled {order.filled_quantity} at {order.filled_price}" if order.filled_quantity else ""
        told = f" ({order.reason})" if order.reason else ""
        console.print(
            Text(f"  {order.role.value} {order.side.value} {order.quantity}: {order.state.value}{filled}{told}")
        )
    if not story.orders:
        console.print("  no order followed")
    if position is not None and position.closed_at is not None:
        console.print(
            f"  closed by {position.exit_reason}: {to_cents(position.net):+,.2f}, "
            f"{position.r_multiple:+.2f} R after costs"
        )
    elif position is not None:
        console.print(f"  the position is {'not filled yet' if position.is_pending else 'open'}")
    if outcome is None:
        console.print("the market after it: not followed, or not yet")
        return
    result = "" if outcome.r is None else f", {outcome.r:+.2f} R"
    console.print(
        f"the market after it: {_OUTCOMES[outcome.verdict]}{result}; best {outcome.mfe_r:+.2f} R, "
        f"worst {outcome.mae_r:+.2f} R in {outcome.candles} candles"
    )
