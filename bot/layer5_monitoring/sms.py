"""Text messages through ClickSend. A message is sent once: the service has no idempotency key, and each one costs.

Source: ClickSend REST v3, POST /v3/sms/send and GET /v3/sms/history.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any, Final

import aiohttp

from bot.errors import AlertFailed, AlertFateUnknown, AlertNotSent

ADDRESS: Final = "https://rest.clicksend.com"
_TIMEOUT_S: Final = 20.0
_DEFAULT_WAIT_S: Final = 60.0
_PAGE: Final = 100
_MOST_PAGES: Final = 5
_SURE_REFUSALS: Final = (400, 401, 403, 404)


class ClickSend:
    """A client of the service; open it with `async with`."""

    def __init__(self, *, username: str, api_key: str, url: str = "") -> None:
        self._headers = {"Authorization": aiohttp.encode_basic_auth(username, api_key)}
        self._url = url.rstrip("/") or ADDRESS
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ClickSend":
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, to: str, text: str, reference: str) -> str:
        """Send one message; the service's id of it. `reference` is ours, and comes back in the history.

        Raises AlertFailed (refused for good), AlertNotSent (too many requests, or it was not reached) and
        AlertFateUnknown (no usable answer: look at the history, never send again).
        """
        message = {"source": "bot", "to": to, "body": text, "custom_string": reference}
        try:
            status, headers, answer = await self._ask("POST", "/v3/sms/send", json_body={"messages": [message]})
        except aiohttp.ClientConnectorError as error:  # before the connection stood: nothing left
            raise AlertNotSent(f"clicksend was not reached: {error}", retry_after_s=_DEFAULT_WAIT_S) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AlertFateUnknown(f"clicksend gave no answer to {reference} ({type(error).__name__})") from error
        if status == 429:
            wait_s = _seconds(headers.get("Retry-After", ""))
            raise AlertNotSent(f"clicksend: too many requests, again in {wait_s:.0f} s", retry_after_s=wait_s)
        if status in _SURE_REFUSALS:
            raise AlertFailed(f"clicksend refuses {reference}: HTTP {status} {_said(answer)}; check its user and key")
        if status != 200 or answer is None:
            raise AlertFateUnknown(f"clicksend answered {reference} with HTTP {status}: it may have been sent")
        return _message_id(answer, reference)

    async def find(self, reference: str, *, since_s: int, until_s: int) -> bool | None:
        """Whether the history has it; None if it did not answer. It lags: False is no proof. Epoch seconds."""
        for page in range(1, _MOST_PAGES + 1):
            query = {"date_from": since_s, "date_to": until_s, "limit": _PAGE, "page": page}
            try:
                status, _, answer = await self._ask("GET", "/v3/sms/history", query=query)
            except (aiohttp.ClientError, TimeoutError, OSError):
                return None
            data = answer.get("data") if status == 200 and answer is not None else None
            rows = data.get("data") if isinstance(data, dict) else None
            if not isinstance(data, dict) or not isinstance(rows, list):
                return None
            if any(isinstance(each, dict) and each.get("custom_string") == reference for each in rows):
                return True
            if page >= int(data.get("last_page") or 1):
                break
        return False

    async def balance(self) -> Decimal:
        """What the account still holds, in its currency; proves user and key. Raises AlertFailed and its kinds.

        The answer holds keys of subaccounts: nothing else of it is kept or shown.
        """
        try:
            status, _, answer = await self._ask("GET", "/v3/account")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            told = f"clicksend was not reached: {type(error).__name__}"
            raise AlertNotSent(told, retry_after_s=_DEFAULT_WAIT_S) from error
        if status in _SURE_REFUSALS:
            raise AlertFailed(f"clicksend refuses the account: HTTP {status} {_said(answer)}")
        data = answer.get("data") if status == 200 and answer is not None else None
        try:
            return Decimal(str(data["balance"])) if isinstance(data, dict) else Decimal("NaN")
        except (KeyError, InvalidOperation):
            return Decimal("NaN")

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        json_body: Mapping[str, object] | None = None,
        query: Mapping[str, int] | None = None,
    ) -> tuple[int, Mapping[str, str], dict[str, Any] | None]:
        """(status, headers, the JSON object, if it was one)."""
        if self._session is None:
            raise AlertFailed("clicksend: the client is not open")
        params = {name: str(value) for name, value in (query or {}).items()}
        async with self._session.request(method, self._url + path, json=json_body, params=params) as response:
            raw = await response.read()
            try:
                answer = json.loads(raw)
            except ValueError:
                answer = None
            return response.status, response.headers, answer if isinstance(answer, dict) else None


def _message_id(answer: Mapping[str, Any], reference: str) -> str:
    """HTTP 200 and SUCCESS come also where every message was refused: only the status of the message counts."""
    data = answer.get("data")
    rows = data.get("messages") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        raise AlertFateUnknown(f"clicksend answered {reference} without a message: it may have been sent")
    status = str(rows[0].get("status", ""))
    if status != "SUCCESS":
        raise AlertFailed(f"clicksend refuses {reference}: {status or 'no status'}; see its page, and SMS_TO")
    return str(rows[0].get("message_id", ""))


def _said(answer: Mapping[str, Any] | None) -> str:
    return str((answer or {}).get("response_code", ""))


def _seconds(text: str) -> float:
    try:
        return max(float(text), 1.0)
    except ValueError:
        return _DEFAULT_WAIT_S
