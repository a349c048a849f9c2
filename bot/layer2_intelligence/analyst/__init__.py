"""The model as a second opinion, and the deterministic detector that stands in for it."""
