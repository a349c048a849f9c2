"""One package per venue; only wiring names them."""
