"""WHAT HAPPENED: brokers and archives in, candles and quotes out. Nothing unusable is passed on."""
