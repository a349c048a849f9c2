"""Alerts that the database did not take, in a file of the data directory until it does."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from loguru import logger

from bot.alerts import Alert, Severity, delivery_from_json, delivery_to_json

_FILE: Final = "alerts.spool.json"


class AlertSpool:
    """One small file, replaced as a whole; a disk that is full costs the file, never an alert's way to people."""

    def __init__(self, data_directory: Path) -> None:
        self._path = data_directory / _FILE
        self._is_empty = False

    def write(self, alerts: Collection[Alert]) -> None:
        """Keep exactly these. Never raises."""
        if not alerts and self._is_empty:
            return
        try:
            if not alerts:
                self._path.unlink(missing_ok=True)
            else:
                partial = self._path.with_name(self._path.name + ".partial")
                partial.write_bytes(orjson.dumps([_row_of(each) for each in alerts]))
                partial.replace(self._path)
            self._is_empty = not alerts
        except OSError as error:
            logger.error("alerts: {} cannot be written ({}); free some space", self._path, error.strerror)

    def read(self) -> list[Alert]:
        """What was kept. A file that cannot be read is put aside. Never raises."""
        try:
            return [_alert_of(each) for each in orjson.loads(self._path.read_bytes())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.error("alerts: {} cannot be read ({}); it is overwritten", self._path, error)
            return []


def _row_of(alert: Alert) -> dict[str, Any]:
    return {**asdict(alert), "deliveries": [delivery_to_json(each) for each in alert.deliveries]}


def _alert_of(row: dict[str, Any]) -> Alert:
    times = {name: row[name] and datetime.fromisoformat(row[name]) for name in row if name.endswith("_at")}
    deliveries = tuple(delivery_from_json(each) for each in row["deliveries"])
    return Alert(**{**row, **times, "severity": Severity(row["severity"]), "deliveries": deliveries})
