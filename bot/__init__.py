"""A trading daemon: many instruments, several brokers, one pipeline. Start with `models.py`, then `pipeline.py`."""
