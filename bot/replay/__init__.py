"""The pipeline over recorded candles."""
