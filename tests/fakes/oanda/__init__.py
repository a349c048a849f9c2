"""OANDA v20 on a loopback port, as awkward as the venue is."""
