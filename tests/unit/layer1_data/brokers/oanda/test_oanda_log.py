"""The library writes addresses into its log, and the account stands in them: none of its lines is written."""

import logging

import pytest

from bot.layer1_data.brokers.oanda import to_oanda
from bot.layer1_data.brokers.oanda.access import Access, Environment
from bot.layer1_data.brokers.oanda.errors import Failure
from bot.layer1_data.brokers.oanda.transport import Client

NOBODY_LISTENS = "http://127.0.0.1:1"


def test_a_failed_request_leaves_no_line_with_the_account(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("oandapyV20").setLevel(logging.NOTSET)
    access = Access(token="token-1", account="101-004-1", environment=Environment.PRACTICE, url=NOBODY_LISTENS)
    client = Client(access, silence_s=1)

    with pytest.raises(Failure):
        client.ask(to_oanda.SUMMARY)

    client.close()
    assert "101-004-1" not in caplog.text
