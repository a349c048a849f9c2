"""Jobs are as old as their last good run that was seen, in real seconds."""

from bot.clock import ManualClock
from bot.layer5_monitoring.job_ages import JobAges
from bot.models import JobHealth


class Jobs:
    """Three jobs whose runs a test counts."""

    def __init__(self) -> None:
        self.runs = {"analysis": 0, "monitor": 0, "monitor ig": 0, "outcomes": 0}
        self.failures = dict.fromkeys(self.runs, 0)

    def health(self) -> list[JobHealth]:
        return [
            JobHealth(name=name, interval_s=3_600, runs=runs, failures=self.failures[name])
            for name, runs in self.runs.items()
        ]


def test_a_good_run_makes_a_job_young_and_a_failed_one_does_not() -> None:
    clock, jobs = ManualClock(), Jobs()
    ages = JobAges(jobs.health, clock, speed=1)
    ages.look()
    clock.advance(10)
    jobs.runs["analysis"] = 1
    jobs.runs["monitor"] = jobs.failures["monitor"] = 1

    found = ages.look()

    assert (found["analysis"], found["monitor"]) == (0, 10)


def test_progress_is_that_of_the_slowest_job_that_matters_those_of_single_venues_too() -> None:
    clock, jobs = ManualClock(), Jobs()
    ages = JobAges(jobs.health, clock, speed=1)
    jobs.runs.update(analysis=1, monitor=1)
    jobs.runs["monitor ig"] = 1
    ages.look()
    clock.advance(60)
    jobs.runs.update(analysis=2, monitor=2)

    assert ages.progress_age_s() == 60


def test_before_every_job_that_matters_ran_progress_is_as_old_as_the_daemon() -> None:
    clock, jobs = ManualClock(), Jobs()
    ages = JobAges(jobs.health, clock, speed=1)
    clock.advance(30)
    jobs.runs.update(analysis=1, monitor=1, outcomes=1)

    assert ages.progress_age_s() == 30, "monitor ig has not run yet"


def test_a_job_that_was_never_scheduled_makes_no_progress() -> None:
    clock = ManualClock()
    only_a_venue = JobHealth(name="monitor ig", interval_s=120, runs=5)
    ages = JobAges(lambda: [only_a_venue], clock, speed=1)
    clock.advance(40)

    assert ages.progress_age_s() == 40, "analysis waits for another venue since the start"


def test_intervals_are_told_in_market_seconds_and_ages_in_real_ones() -> None:
    job = JobHealth(name="analysis", interval_s=3_600)

    assert JobAges(list, ManualClock(), speed=3_600).allowed_s(job) == 33
