"""The simulated venue: one matching engine for dev, replay and tests."""
