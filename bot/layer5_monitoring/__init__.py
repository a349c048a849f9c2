"""WHAT CAME OF IT: journal, outcomes, figures, alerts, health, logs."""
