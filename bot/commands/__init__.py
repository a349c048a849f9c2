"""One module per command of botctl."""
