"""How long ago each job last went well, in real seconds: market time may run at any speed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bot.interfaces import Clock
from bot.layer5_monitoring.heartbeat import JOBS
from bot.models import JobHealth

_LATE_INTERVALS: Final = 3
_GRACE_S: Final = 30.0


class JobAges:
    """Notices good runs; `look` every few seconds. The clock must run in real seconds."""

    def __init__(self, jobs: Callable[[], Sequence[JobHealth]], clock: Clock, *, speed: float) -> None:
        """`speed`: market seconds, which the intervals of jobs are told in, per real second."""
        self._jobs = jobs
        self._clock = clock
        self._speed = speed
        self._begun_s = clock.monotonic()
        self._seen: dict[str, tuple[int, float]] = {}

    def look(self) -> Mapping[str, float]:
        """Seconds since a good run of each job was noticed; of one that had none yet, since it was first seen."""
        now_s = self._clock.monotonic()
        for job in self._jobs():
            good = job.runs - job.failures
            known = self._seen.get(job.name)
            if known is None or good > known[0]:
                self._seen[job.name] = (good, now_s)
        return {name: now_s - at_s for name, (_, at_s) in self._seen.items()}

    def progress_age_s(self) -> float:
        """Since the slowest of the jobs that matter last went well; since the beginning, if one of them never ran."""
        ages = self.look()
        ran = {name for name, (good, _) in self._seen.items() if good > 0}
        wanted = {*JOBS, *(name for name in ages if name.partition(" ")[0] in JOBS)}
        if not wanted <= ran:
            return self._clock.monotonic() - self._begun_s
        return max(ages[name] for name in wanted)

    def allowed_s(self, job: JobHealth) -> float:
        """How old a good run of it may be: three intervals and half a minute."""
        return _LATE_INTERVALS * job.interval_s / self._speed + _GRACE_S
