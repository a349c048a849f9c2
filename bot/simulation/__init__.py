"""The machine that tries to break the order path: seeded time, market, faults and crashes, and what must hold."""
