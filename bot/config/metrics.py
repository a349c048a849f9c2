"""Settings of metrics: a port of their own, if somebody scrapes without a token."""

from pydantic import Field

from bot.config.section import Section


class MetricsSettings(Section):
    """Figures for Prometheus. They are always at /metrics of the page's port, for whoever has a token or a login."""

    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="TCP port where anybody may read /metrics and nothing else, for a private network; 0: no such port",
    )
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="address that this port listens on; 0.0.0.0 or :: for all"
    )
