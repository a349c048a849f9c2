"""Binance spot through ccxt: the one account, its words, its errors and its odd habits."""
