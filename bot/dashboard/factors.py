"""Setting up a second factor: a seed is shown, its first code sent back, and from then on a code is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from bot.dashboard.second_factor import (
    Vault,
    code_matches,
    new_recovery_codes,
    new_seed,
    recovery_digest,
    step_of,
)
from bot.interfaces import Clock, UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFactor:
    """A seed to show, and the same sealed, which comes back with its first code: until then nothing is kept."""

    seed: str = field(repr=False)
    sealed: str


class FactorDesk:
    """Makes second factors, and keeps them encrypted."""

    def __init__(self, *, users: UserStore, vault: Vault, clock: Clock) -> None:
        self._users = users
        self._vault = vault
        self._clock = clock

    def begin(self, name: str) -> NewFactor:
        """A new seed for that person."""
        return self._new(name, new_seed())

    def again(self, name: str, sealed: str) -> NewFactor:
        """The seed that was shown. Raises DataError if it was not made for that person."""
        return self._new(name, self._vault.open(name, sealed.encode("utf-8", "surrogatepass")))

    async def finish(self, name: str, factor: NewFactor, code: str) -> Sequence[str]:
        """Keep it; the recovery codes, of which only hashes are kept. None if `code` is not its code of this moment."""
        now = self._clock.now()
        if not code_matches(factor.seed, code, now):
            return ()
        codes = new_recovery_codes()
        digests = [recovery_digest(each) for each in codes]
        await self._users.set_second_factor(name, factor.sealed.encode(), digests)
        await self._users.take_step(name, step_of(now))
        return codes

    def _new(self, name: str, seed: str) -> NewFactor:
        return NewFactor(seed=seed, sealed=self._vault.seal(name, seed).decode())


FACTORS: Final = web.AppKey("factors", FactorDesk)
