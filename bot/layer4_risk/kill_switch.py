"""The kill switch: what the database, the file and this process know to be pressed. docs/kill-switch.md.

Every entry is asked about twice: as a limit before it is decided, and again as the last thing before it is sent. Exits
and protective stops are never asked about.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from loguru import logger

from bot.errors import BotError, DatabaseUnavailable
from bot.instruments import BrokerId
from bot.interfaces import Clock, KillStore, SnapshotStore
from bot.layer4_risk.drawdown import restart_peak
from bot.layer4_risk.kill_file import KillFile
from bot.models import KillCause, KillLevel, KillState, TaskId, strongest
from bot.patience import within

_STORED_WITHIN_S: Final = 1.0

Recorder = Callable[[str, TaskId | None, Mapping[str, object]], Awaitable[None]]


class KillSwitch:
    """The one home of what is pressed. A press holds here at once, in the database as soon as it answers.

    `file` is None where nobody could write one (replay). A press that was not stored within a second is kept here and
    in the file, so that it survives a restart too.
    """

    def __init__(self, store: KillStore, *, clock: Clock, record: Recorder, file: KillFile | None = None) -> None:
        self._store = store
        self._clock = clock
        self._record = record
        self._file = file
        self._stored: Sequence[KillState] = ()
        self._unstored: list[KillState] = []
        self._storing: list[KillState] = []  # by their own press, which is to hear what the database says to it
        self._told: Sequence[KillState] = ()
        self._looking = asyncio.Lock()
        self._asked = self._answered = 0  # reads of the database: an older answer never replaces a newer one
        self.pressed: Callable[[], None] = lambda: None  # wiring: who acts on a press of this process

    # ---------------------------------------------------------------------------------------------------- questions

    def known(self, broker_id: BrokerId | None = None) -> KillState:
        """What holds for one broker (None: for any) as far as was looked; no I/O."""
        return strongest(self.latches(), broker_id)

    def latches(self) -> tuple[KillState, ...]:
        """Everything that holds, as far as was looked, in the order pressed; no I/O."""
        return (*self._stored, *self._unstored)

    def latch(self, cause: KillCause, broker_id: BrokerId | None) -> KillState | None:
        """The first latch of one cause and broker, as far as was looked."""
        return next((each for each in self.latches() if (each.cause, each.broker_id) == (cause, broker_id)), None)

    def is_stored(self, state: KillState) -> bool:
        """As far as is known it waits for no database."""
        return state not in self._unstored

    def wants_flat(self) -> bool:
        """Somebody pressed FLATTEN; also while a HALT holds besides."""
        return any(each.level is KillLevel.FLATTEN for each in self.latches())

    @property
    def has_file(self) -> bool:
        """Somebody could press by a file."""
        return self._file is not None

    def file_presses(self) -> bool:
        """The file says something that was not known; it holds from now on."""
        before = len(self._unstored)
        self._read_file()
        return len(self._unstored) > before

    async def state(self, broker_id: BrokerId | None = None) -> KillState:
        """What holds now. Nothing is awaited after the last look. Raises DatabaseUnavailable if nothing is known."""
        try:
            await self._read_store()
        except BotError:
            self._read_file()
            if self.known(broker_id).level is KillLevel.NONE:
                raise  # it may be pressed by a row that cannot be read
            return self.known(broker_id)
        self._read_file()
        return self.known(broker_id)

    async def refusal(self, broker_id: BrokerId) -> str:
        """Why no entry may be sent to `broker_id` at this moment; empty if it may. Not knowing is a no."""
        try:
            state = await self.state(broker_id)
        except BotError as error:
            return f"the kill switch cannot be read, so no entry is sent: {error}"
        return _refusal(state)

    def known_refusal(self, broker_id: BrokerId) -> str:
        """As `refusal`, as far as was looked; no I/O."""
        return _refusal(self.known(broker_id))

    # ------------------------------------------------------------------------------------------------------ changes

    async def look(self) -> KillState:
        """Read file and database, store what could not be stored before, tell what changed. Never raises."""
        async with self._looking:
            self._read_file()
            try:
                storing = [each for each in self._unstored if each not in self._storing]
                for each in storing:
                    await self._store.set(each)
                await self._read_store()
                self._unstored = [each for each in self._unstored if each not in storing]
            except BotError as error:
                logger.debug("kill switch: the database was not read: {}", error)
            await self._tell()
            return self.known()

    async def press(self, state: KillState) -> bool:
        """Press it: it holds before the database is asked, which may hang. False if the same latch holds already.

        Raises StorageError only if it can be kept nowhere.
        """
        is_new = not _is_among(self.latches(), state)
        if is_new:
            self._unstored.append(state)
        self._storing.append(state)
        self.pressed()
        try:
            is_new = await within(_STORED_WITHIN_S, self._store.set(state))
        except (DatabaseUnavailable, TimeoutError) as error:
            if is_new:
                why = str(error) or "it does not answer"
                logger.error("kill switch: {} holds, but is not in the database yet: {}", state.says, why)
            if self._file is not None and not state.cause.ends_by_itself:
                self._file.write(state.level)
        finally:
            self._storing.remove(state)
        await self.look()
        return is_new

    async def release(self, cause: KillCause, broker_id: BrokerId | None, *, reason: str) -> None:
        """A limit of ours holds no longer. Raises DatabaseUnavailable; then it holds on."""
        row = KillState(
            level=KillLevel.NONE,
            by="daemon",
            cause=cause,
            reason=reason,
            at=self._clock.now(),
            broker_id=broker_id,
        )
        await self.look()  # what waits to be stored is stored first, or it would come back
        await self._store.set(row)
        await self.look()

    # ------------------------------------------------------------------------------------------------------- inside

    def _read_file(self) -> None:
        """Take the file into account; synchronous, so that it can be the last look before a send."""
        for press in self._file.read() if self._file is not None else ():
            cause = KillCause.FILE
            if not any(each.cause is cause and each.level is press.level for each in self.latches()):
                now = self._clock.now()
                self._unstored.append(
                    KillState(level=press.level, by=press.by, cause=cause, reason=press.reason, at=now)
                )

    async def _read_store(self) -> None:
        self._asked += 1
        number = self._asked
        stored = await self._store.active()
        if number > self._answered:
            self._answered, self._stored = number, stored

    async def _tell(self) -> None:
        now, before = self.latches(), self._told
        self._told = now
        for each in now:
            if each not in before:
                logger.warning("kill switch pressed: {}", each.says)
                await self._record("kill", None, facts_of(each))
        for each in before:
            if each not in now:
                logger.warning("kill switch released: {}", each.says)
                await self._record("kill", None, {**facts_of(each), "released": True})


def _refusal(state: KillState) -> str:
    return "" if state.level is KillLevel.NONE else f"kill switch: {state.says}"


def _is_among(latches: Iterable[KillState], state: KillState) -> bool:
    kind = (state.cause, state.broker_id, state.level)
    return any((each.cause, each.broker_id, each.level) == kind for each in latches)


def facts_of(state: KillState) -> dict[str, object]:
    """One latch for the journal."""
    return {
        "level": state.level.value,
        "by": state.by,
        "cause": state.cause.value,
        "reason": state.reason,
        "pressed_at": state.at.isoformat(),
        "broker": state.broker_id,
    }


async def resume(
    kills: KillStore,
    snapshots: SnapshotStore,
    file: KillFile | None,
    *,
    up_to: KillLevel,
    by: str,
    reason: str,
    clock: Clock,
) -> Sequence[KillState]:
    """A person releases what holds, up to a level: what was released (empty: nothing, or something stronger holds).

    The file goes first, or it would press again. The peak that the drawdown is measured from restarts at the equity of
    now if the drawdown was among the latches. Raises StorageError or DatabaseUnavailable; then all of it still holds.
    """
    held = await kills.active()
    if strongest(held).level > up_to:
        return ()
    if file is not None:
        file.remove()
    if any(each.cause is KillCause.DRAWDOWN for each in held):
        await restart_peak(snapshots)
    return await kills.resume(up_to=up_to, by=by, reason=reason, at=clock.now())
