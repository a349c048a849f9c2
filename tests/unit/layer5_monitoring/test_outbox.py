"""What of the alerts has reached nobody, and which ways fail."""

from dataclasses import replace
from datetime import timedelta

from bot.alerts import Alert, Channel, Delivery, DeliveryState, Severity
from bot.layer5_monitoring.outbox import outbox_state
from tests.builders import START

NOW = START + timedelta(hours=3)


def alert(name: str, minutes_ago: float, **changes: object) -> Alert:
    at = NOW - timedelta(minutes=minutes_ago)
    made = Alert(id=name, key=name, severity=Severity.CRITICAL, title=name, body="", raised_at=at, last_at=at)
    return replace(made, **changes)  # type: ignore[arg-type]


def delivery(state: DeliveryState, minutes_ago: float = 1, channel: Channel = Channel.TELEGRAM) -> Delivery:
    return Delivery(channel=channel, recipient="1", state=state, at=NOW - timedelta(minutes=minutes_ago))


def test_a_critical_alert_that_no_way_has_delivered_waits_since_it_was_raised() -> None:
    waiting = [alert("old", 5, deliveries=(delivery(DeliveryState.UNKNOWN),)), alert("new", 1)]
    others = [
        alert("arrived", 9, deliveries=(delivery(DeliveryState.FAILED), delivery(DeliveryState.SENT))),
        alert("noted", 9, acked_at=NOW),
        alert("over", 9, resolved_at=NOW),
        alert("not critical", 9, severity=Severity.WARNING),
    ]

    state = outbox_state([*waiting, *others], NOW, has_ways=True)

    assert (state.waiting, state.oldest_s) == (2, 300)
    assert state.unacknowledged == 3


def test_without_a_way_to_anybody_nothing_waits_but_somebody_should_take_note() -> None:
    state = outbox_state([alert("one", 5)], NOW, has_ways=False)

    assert (state.waiting, state.oldest_s, state.unacknowledged) == (0, 0, 1)


def test_a_way_fails_while_its_newest_delivery_of_the_last_hour_failed() -> None:
    failed, sent = DeliveryState.FAILED, DeliveryState.SENT
    alerts = [
        alert("a", 9, deliveries=(delivery(sent, 9), delivery(failed, 8, Channel.SMS))),
        alert("b", 8, deliveries=(delivery(failed, 2), delivery(sent, 3, Channel.SMS))),
    ]

    assert outbox_state(alerts, NOW, has_ways=True).failing == ("telegram",)
    assert outbox_state(alerts, NOW + timedelta(hours=2), has_ways=True).failing == ()
