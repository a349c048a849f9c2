"""WHAT IT MEANS: candles in, features, signals and verdicts out. Pure functions but for the model client."""
