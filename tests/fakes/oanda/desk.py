"""What the fake OANDA does with each request that changes something, and what it refuses."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from bot.instruments import Instrument
from tests.fakes.oanda.book import MOST_UNITS, Book, Cancel, Json, Refuse, Reject, Trade

_OF_TRADE: Final = ("STOP_LOSS", "TAKE_PROFIT")
_WAITING: Final = ("LIMIT", "STOP", "MARKET_IF_TOUCHED")


def create_order(book: Book, order: Json) -> tuple[int, Json]:
    """POST orders."""
    kind = str(order.get("type", "MARKET"))
    if kind not in (*_OF_TRADE, *_WAITING, "MARKET"):
        raise Refuse("Invalid value specified for 'order.type'")
    first = book.begin()
    fields = {key: value for key, value in order.items() if key != "type"}
    try:
        checked = _trade_order(book, kind, order) if kind in _OF_TRADE else _plain_order(book, kind, order)
    except Reject as reject:
        return _rejected(book, f"{kind}_ORDER_REJECT", reject, "orderRejectTransaction", fields)
    if isinstance(checked, Trade):
        _, created = book.dependent(kind, checked.id, order, "CLIENT_ORDER")
        return 201, _told(book, first, orderCreateTransaction=created)
    pending, created = book.new_order(kind, "CLIENT_ORDER", **fields)
    if kind == "MARKET":
        return 201, _told(book, first, orderCreateTransaction=created, **_at_market(book, pending, checked))
    book.match()
    outcome = _of_batch(book, pending)
    return 201, _told(book, first, orderCreateTransaction=created, **outcome)


def close_trade(book: Book, spec: str, body: Json) -> tuple[int, Json]:
    """PUT trades/{spec}/close."""
    first = book.begin()
    trade = book.trade_by(spec)
    if not trade.units:
        reject = Reject("TRADE_DOESNT_EXIST", 404)
        return _rejected(
            book, "MARKET_ORDER_REJECT", reject, "orderRejectTransaction", {"instrument": trade.instrument}
        )
    units = abs(trade.units) if body.get("units", "ALL") == "ALL" else _decimal(body["units"])
    fields = {
        "instrument": trade.instrument,
        "units": format(-units.copy_sign(trade.units), "f"),
        "timeInForce": "FOK",
        "positionFill": "REDUCE_ONLY",
        "tradeClose": {"tradeID": trade.id, "units": str(body.get("units", "ALL"))},
    }
    try:
        _check_units(book.instrument(trade.instrument), units)
        if units > abs(trade.units):
            raise Reject("CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE")
    except Reject as reject:
        return _rejected(book, "MARKET_ORDER_REJECT", reject, "orderRejectTransaction", fields)
    order, created = book.new_order("MARKET", "TRADE_CLOSE", **fields)
    order["tradeID"] = trade.id
    book.closed_under[order["id"]] = trade.comment or ""
    outcome = _at_market(book, order, book.instrument(trade.instrument), "MARKET_ORDER_TRADE_CLOSE")
    del order["tradeID"]
    return 200, _told(book, first, orderCreateTransaction=created, **outcome)


def change_trade_extensions(book: Book, spec: str, body: Json) -> tuple[int, Json]:
    """PUT trades/{spec}/clientExtensions: what is left out is gone."""
    first = book.begin()
    trade = book.trade_by(spec)
    key, kind = "tradeClientExtensionsModify", "TRADE_CLIENT_EXTENSIONS_MODIFY"
    if not (trade.units and book.takes_comments):
        reject = Reject("CLIENT_TRADE_COMMENT_INVALID") if trade.units else Reject("TRADE_DOESNT_EXIST", 404)
        return _rejected(book, f"{kind}_REJECT", reject, f"{key}RejectTransaction", {"tradeID": trade.id})
    trade.name, trade.comment = body["clientExtensions"].get("id"), body["clientExtensions"].get("comment")
    entry = book.note(kind, tradeID=trade.id, tradeClientExtensionsModify=body["clientExtensions"])
    return 200, _told(book, first, **{f"{key}Transaction": entry})


def change_trade_orders(book: Book, spec: str, body: Json) -> tuple[int, Json]:
    """PUT trades/{spec}/orders: a key that is absent leaves its order, null cancels it, an object replaces it."""
    first = book.begin()
    trade = book.trade_by(spec)
    instrument = book.instrument(trade.instrument)
    answer: Json = {}
    for key, kind in (("takeProfit", "TAKE_PROFIT"), ("stopLoss", "STOP_LOSS")):
        if key not in body:
            continue
        details = body[key]
        if details is not None:
            try:
                _check_price(instrument, details.get("price"), "PRICE")
                _check_free_name(book, details, replaces=(kind, trade.id))
            except Reject as reject:
                return _rejected(book, f"{kind}_ORDER_REJECT", reject, f"{key}OrderRejectTransaction", dict(details))
        old = next((each for each in book.pending() if (each["type"], each.get("tradeID")) == (kind, trade.id)), None)
        if old is not None:
            new = {} if details is None else {"replacedByOrderID": str(int(book.last_id) + 2)}
            reason = "CLIENT_REQUEST" if details is None else "CLIENT_REQUEST_REPLACED"
            answer[f"{key}OrderCancelTransaction"] = book.end(old, reason, **new)
        if details is not None:
            chain = {} if old is None else {"replacesOrderID": old["id"], "cancellingTransactionID": book.last_id}
            reason = "CLIENT_ORDER" if old is None else "REPLACEMENT"
            made, answer[f"{key}OrderTransaction"] = book.dependent(kind, trade.id, details, reason, **chain)
            if book.moved_stops_end_as:
                answer[f"{key}OrderCreatedCancelTransaction"] = book.end(made, book.moved_stops_end_as)
    return 200, _told(book, first, **answer)


def cancel_order(book: Book, spec: str) -> tuple[int, Json]:
    """PUT orders/{spec}/cancel."""
    first = book.begin()
    try:
        order = book.order_by(spec)
    except Refuse:
        order = {"state": "gone"}
    if order["state"] != "PENDING":
        reject = Reject("ORDER_DOESNT_EXIST", 404)
        names = {"clientOrderID": spec[1:]} if spec.startswith("@") else {"orderID": spec}
        return _rejected(book, "ORDER_CANCEL_REJECT", reject, "orderCancelRejectTransaction", names)
    return 200, _told(book, first, orderCancelTransaction=book.end(order, "CLIENT_REQUEST"))


def _at_market(book: Book, order: Json, instrument: Instrument, reason: str = "MARKET_ORDER") -> Json:
    quote = book.quote(instrument.venue_symbol)
    try:
        if quote is None:
            raise Cancel("MARKET_HALTED")
        fill = book.execute(order, quote[1] if Decimal(order["units"]) > 0 else quote[0], reason)
    except Cancel as cancelled:
        return {"orderCancelTransaction": book.end(order, str(cancelled))}
    return {"orderFillTransaction": fill}


def _of_batch(book: Book, order: Json) -> Json:
    key = {"FILLED": "fillingTransactionID", "CANCELLED": "cancellingTransactionID"}.get(order["state"])
    if key is None:
        return {}
    entry = book.transactions[int(order[key]) - 1]
    return {f"order{'Fill' if order['state'] == 'FILLED' else 'Cancel'}Transaction": entry}


def _plain_order(book: Book, kind: str, order: Json) -> Instrument:
    instrument = book.instrument(order.get("instrument"))
    units = _decimal(order.get("units"))
    _check_units(instrument, units)
    if order.get("timeInForce") not in (("FOK", "IOC") if kind == "MARKET" else ("GTC", "GTD", "GFD")):
        raise Reject("TIME_IN_FORCE_INVALID")
    if kind in _WAITING:
        _check_price(instrument, order.get("price"), "PRICE")
    if "priceBound" in order:
        _check_price(instrument, order["priceBound"], "PRICE_BOUND")
    if stop := order.get("stopLossOnFill"):
        if "price" in stop and "distance" in stop:
            raise Reject("STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_SPECIFIED")
        _check_price(instrument, stop.get("price"), "STOP_LOSS_ON_FILL_PRICE")
    _check_free_name(book, order)
    return instrument


def _check_units(instrument: Instrument, units: Decimal) -> None:
    if units == 0:
        raise Reject("UNITS_INVALID")
    if units % instrument.quantity_step:
        raise Reject("UNITS_PRECISION_EXCEEDED")
    if abs(units) < instrument.min_quantity:
        raise Reject("UNITS_MINIMUM_NOT_MET")
    if abs(units) > MOST_UNITS:
        raise Reject("UNITS_LIMIT_EXCEEDED")


def _trade_order(book: Book, kind: str, order: Json) -> Trade:
    spec = str(order["tradeID"]) if "tradeID" in order else f"@{order.get('clientTradeID')}"
    try:
        trade = book.trade_by(spec)
    except Refuse:
        raise Reject("TRADE_DOESNT_EXIST", 404) from None
    if not trade.units:
        raise Reject("TRADE_DOESNT_EXIST", 404)
    if any((each["type"], each.get("tradeID")) == (kind, trade.id) for each in book.pending()):
        raise Reject(f"{kind}_ORDER_ALREADY_EXISTS")
    _check_price(book.instrument(trade.instrument), order.get("price"), "PRICE")
    _check_free_name(book, order)
    return trade


def _check_price(instrument: Instrument, price: object, what: str) -> None:
    if price is None:
        raise Reject(f"{what}_MISSING")
    value = _decimal(price)
    if value <= 0:
        raise Reject(f"{what}_INVALID")
    if value != value.quantize(instrument.tick):
        raise Reject(f"{what}_PRECISION_EXCEEDED")


def _check_free_name(book: Book, order: Json, replaces: tuple[str, str] | None = None) -> None:
    name = (order.get("clientExtensions") or {}).get("id")
    for each in book.pending():
        same = name and (each.get("clientExtensions") or {}).get("id") == name
        if same and (each["type"], each.get("tradeID")) != replaces:
            raise Reject("CLIENT_ORDER_ID_ALREADY_EXISTS")


def _decimal(text: object) -> Decimal:
    if not isinstance(text, str):
        raise Refuse("Invalid value specified for 'order.units'")  # JSON numbers are not taken
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Refuse("Invalid value specified for 'order.units'") from None


def _rejected(book: Book, kind: str, reject: Reject, key: str, fields: Json) -> tuple[int, Json]:
    entry = book.note(kind, **fields, rejectReason=reject.code, reason="CLIENT_ORDER")
    words = f"{reject.code.replace('_', ' ').capitalize()}"
    answer = _told(book, entry["id"], **{key: entry}, errorCode=reject.code, errorMessage=words)
    return reject.status, answer


def _told(book: Book, first: str, **parts: Any) -> Json:
    related = [str(each) for each in range(int(first), int(book.last_id) + 1)]
    return {**parts, "relatedTransactionIDs": related, "lastTransactionID": book.last_id}
