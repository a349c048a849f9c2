"""Alerts in PostgreSQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from bot.alerts import Alert, Delivery, DeskState, Severity, delivery_from_json, delivery_to_json
from bot.database.access import Database
from bot.database.codec import storable, storable_json
from bot.database.contract import unknown_alert
from bot.database.pool import Record

_COLUMNS: Final = """
    id, key, severity, title, body, lasts, raised_at, last_at, count, resolved_at, acked_at, acked_by, deliveries
"""

# Who took note may have said so to another process meanwhile: the first word stands.
_SAVE: Final = f"""
    INSERT INTO alerts ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (id) DO UPDATE SET
        title = excluded.title, body = excluded.body, severity = excluded.severity, last_at = excluded.last_at,
        count = excluded.count, resolved_at = excluded.resolved_at,
        deliveries = excluded.deliveries,
        acked_at = coalesce(alerts.acked_at, excluded.acked_at),
        acked_by = CASE WHEN alerts.acked_at IS NULL THEN excluded.acked_by ELSE alerts.acked_by END
"""  # noqa: S608 - made of constants

_ACKNOWLEDGE: Final = """
    UPDATE alerts SET acked_at = $2, acked_by = $3 WHERE id = $1 AND acked_at IS NULL RETURNING true
"""
_IS_KNOWN: Final = "SELECT true FROM alerts WHERE id = $1"
_SELECT_ACKED: Final = "SELECT id, acked_by, acked_at FROM alerts WHERE id = ANY($1) AND acked_at IS NOT NULL"
_SELECT_SINCE: Final = f"""
    SELECT {_COLUMNS} FROM alerts
    WHERE last_at >= $1 OR (severity = 'critical' AND resolved_at IS NULL AND acked_at IS NULL)
    ORDER BY raised_at, id
"""  # noqa: S608 - made of constants
_SELECT_NEWEST: Final = f"SELECT {_COLUMNS} FROM alerts ORDER BY raised_at DESC, id DESC LIMIT $1"  # noqa: S608
_SELECT_OLDER: Final = f"""
    SELECT {_COLUMNS} FROM alerts WHERE (raised_at, id) < (SELECT raised_at, id FROM alerts WHERE id = $2)
    ORDER BY raised_at DESC, id DESC LIMIT $1
"""  # noqa: S608 - made of constants
_UNSETTLED: Final = "resolved_at IS NULL AND (lasts OR (severity = 'critical' AND acked_at IS NULL))"
_SELECT_UNSETTLED: Final = f"""
    SELECT {_COLUMNS} FROM alerts WHERE {_UNSETTLED}
    ORDER BY (severity = 'critical' AND acked_at IS NULL) DESC, raised_at DESC, id DESC LIMIT $1
"""  # noqa: S608 - made of constants
_SELECT_DELIVERIES: Final = """
    SELECT DISTINCT ON (delivery ->> 'channel' COLLATE "C", delivery ->> 'state' COLLATE "C") delivery
    FROM alerts, jsonb_array_elements(deliveries) AS delivery
    WHERE last_at >= $1
    ORDER BY delivery ->> 'channel' COLLATE "C", delivery ->> 'state' COLLATE "C",
        (delivery ->> 'at')::timestamptz DESC
"""
_FORGET: Final = f"""
    WITH gone AS (
        DELETE FROM alerts WHERE id IN (
            SELECT id FROM alerts
            WHERE last_at < $1 AND coalesce(resolved_at, last_at) < $1 AND coalesce(acked_at, last_at) < $1
                AND NOT ({_UNSETTLED})
            ORDER BY raised_at, id LIMIT $2
        ) RETURNING 1
    )
    SELECT count(*) FROM gone
"""  # noqa: S608 - made of constants
_COUNT_SMS: Final = """
    SELECT count(*) FROM alerts, jsonb_array_elements(deliveries) AS delivery
    WHERE last_at >= $1::timestamptz - interval '8 days' AND delivery ->> 'channel' = 'sms'
        AND delivery ->> 'state' <> 'failed' AND (delivery ->> 'at')::timestamptz >= $1
"""
_TAKE_UPDATE: Final = "UPDATE alert_desk SET newest_update = $1 WHERE newest_update < $1 RETURNING true"
_SELECT_UPDATE: Final = "SELECT newest_update FROM alert_desk"
_SELECT_STATE: Final = "SELECT muted_until, daily_digest_on, weekly_digest_on FROM alert_desk"
_SAVE_STATE: Final = "UPDATE alert_desk SET muted_until = $1, daily_digest_on = $2, weekly_digest_on = $3"


class PostgresAlerts:
    """`AlertStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, alert: Alert) -> None:
        """Insert or replace by id; whoever took note first stays."""
        await self._database.write(_SAVE, *_values_of(alert))

    async def acknowledge(self, alert_id: str, *, by: str, at: datetime) -> bool:
        """Somebody took note; False if somebody had before. Raises NotFound."""
        if await self._database.write(_ACKNOWLEDGE, alert_id, at, storable(by)):
            return True
        if not await self._database.value(_IS_KNOWN, alert_id):
            raise unknown_alert(alert_id)
        return False

    async def acknowledged(self, ids: Collection[str]) -> Sequence[tuple[str, str, datetime]]:
        """(id, by, at) of those among `ids` that somebody took note of."""
        rows = await self._database.rows(_SELECT_ACKED, list(ids))
        return [(row["id"], row["acked_by"], row["acked_at"]) for row in rows]

    async def since(self, instant: datetime) -> Sequence[Alert]:
        """Those raised again at or after `instant`, and all that wait for somebody, oldest first."""
        return [_alert_of(row) for row in await self._database.rows(_SELECT_SINCE, instant)]

    async def recent(self, limit: int, *, older_than: str = "") -> Sequence[Alert]:
        """Newest first; of those raised before the alert of that id, if one is named: none if it is not known."""
        if not older_than:
            return [_alert_of(row) for row in await self._database.rows(_SELECT_NEWEST, limit)]
        return [_alert_of(row) for row in await self._database.rows(_SELECT_OLDER, limit, storable(older_than))]

    async def unsettled(self, limit: int) -> Sequence[Alert]:
        """All that last or wait for somebody, those that wait first, then newest first."""
        return [_alert_of(row) for row in await self._database.rows(_SELECT_UNSETTLED, limit)]

    async def last_deliveries(self, instant: datetime) -> Sequence[Delivery]:
        """Of each channel the newest delivery of each state, among alerts raised again at or after `instant`."""
        rows = await self._database.rows(_SELECT_DELIVERIES, instant)
        return [delivery_from_json(row["delivery"]) for row in rows]

    async def forget(self, instant: datetime, limit: int) -> int:
        """Remove up to `limit` alerts that nothing happened to since `instant`, and that neither last nor wait for
        somebody; how many those were."""
        count: int = await self._database.write(_FORGET, instant, limit)
        return count

    async def sms_since(self, instant: datetime) -> int:
        """How many text messages were, or may have been, sent at or after `instant`."""
        count: int = await self._database.value(_COUNT_SMS, instant)
        return count

    async def take_update(self, update: int) -> bool:
        """From now on this update of Telegram is acted on; False if it, or a later one, was before."""
        return await self._database.write(_TAKE_UPDATE, update) is True

    async def newest_update(self) -> int:
        """The newest update that was taken; 0 at first."""
        number: int = await self._database.value(_SELECT_UPDATE)
        return number

    async def state(self) -> DeskState:
        """What the desk remembers."""
        row = await self._database.row(_SELECT_STATE)
        assert row is not None  # noqa: S101 the migration wrote it
        return DeskState(
            muted_until=row["muted_until"],
            daily_digest_on=row["daily_digest_on"],
            weekly_digest_on=row["weekly_digest_on"],
        )

    async def save_state(self, state: DeskState) -> None:
        """Remember it."""
        await self._database.write(_SAVE_STATE, state.muted_until, state.daily_digest_on, state.weekly_digest_on)


def _values_of(alert: Alert) -> tuple[object, ...]:
    return (
        alert.id,
        storable(alert.key),
        alert.severity.value,
        storable(alert.title),
        storable(alert.body),
        alert.lasts,
        alert.raised_at,
        alert.last_at,
        alert.count,
        alert.resolved_at,
        alert.acked_at,
        storable(alert.acked_by),
        storable_json([delivery_to_json(each) for each in alert.deliveries]),
    )


def _alert_of(row: Record) -> Alert:
    return Alert(
        id=row["id"],
        key=row["key"],
        severity=Severity(row["severity"]),
        title=row["title"],
        body=row["body"],
        lasts=row["lasts"],
        raised_at=row["raised_at"],
        last_at=row["last_at"],
        count=row["count"],
        resolved_at=row["resolved_at"],
        acked_at=row["acked_at"],
        acked_by=row["acked_by"],
        deliveries=tuple(delivery_from_json(each) for each in row["deliveries"]),
    )
