"""Settings of the venues: which are used, in which environment, with which keys."""

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from bot.config.section import FakeUrl, Secrecy, Section

VENUES: Final = ("binance", "oanda", "ig")
_FAKE: Final = (
    "loopback address of a fake that is asked instead of the venue, such as http://127.0.0.1:9000; empty: none"
)


class VenueSettings(Section):
    """Which venues are used outside dev mode, and the keys to them. A venue without a key gets simulated fills."""

    brokers: str = Field("binance,oanda,ig", description="venues that are used, comma-separated")

    binance_environment: Literal["demo", "testnet", "live"] = Field(
        "demo", description="where the Binance key was made; demo has prices close to live, testnet its own"
    )
    binance_api_key: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description="Binance API key")
    binance_api_secret: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description="Binance API secret")
    binance_url: FakeUrl = Field("", description=f"Binance: {_FAKE}")

    oanda_environment: Literal["practice", "live"] = Field("practice", description="where the OANDA token was made")
    oanda_token: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description="OANDA personal access token")
    oanda_account_id: str = Field("", description="OANDA account, such as 101-004-1435156-001")
    oanda_url: FakeUrl = Field("", description=f"OANDA: {_FAKE}")

    ig_environment: Literal["demo", "live"] = Field("demo", description="where the IG key was made")
    ig_api_key: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description="IG API key")
    ig_username: str = Field("", description="IG user name of that environment")
    ig_password: Annotated[str, Secrecy.WHOLE] = Field("", repr=False, description="IG password of that environment")
    ig_account_id: str = Field("", description="IG account; empty: the one that the login prefers")
    ig_url: FakeUrl = Field("", description=f"IG: {_FAKE}")

    yahoo_url: FakeUrl = Field("", description=f"Yahoo: {_FAKE}")

    @property
    def broker_names(self) -> tuple[str, ...]:
        """The venues one by one, in the order given."""
        return tuple(each.strip().lower() for each in self.brokers.split(","))

    @field_validator("brokers")
    @classmethod
    def _known_brokers(cls, text: str) -> str:
        names = [each.strip().lower() for each in text.split(",")]
        if not set(names) <= set(VENUES) or len(set(names)) < len(names):
            raise ValueError(f"must be a comma-separated list, each at most once, of {', '.join(VENUES)}")
        return ",".join(names)
