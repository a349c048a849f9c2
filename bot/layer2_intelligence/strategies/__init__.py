"""One module per strategy, strangers to each other."""
