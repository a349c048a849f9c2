"""Where candles and quotes come from."""
