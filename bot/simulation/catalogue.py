"""The fault catalogue as far as this tier can inject it. Ids and meanings: docs/simulation.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind. A seed that has it on draws its rate between `least` and `most`, per occasion; `at` names those.

    `holds`: no violation is known with it. One that does not hold is thrown only when it is asked for. `of_processes`:
    it is of a real process, its files, its database or its account: tier C alone throws it.
    """

    says: str
    least: float
    most: float
    at: str
    holds: bool = True
    of_processes: bool = False


FAULTS: Final[Mapping[str, Fault]] = {
    "N1": Fault("a request is lost before it reaches the venue", 0.02, 0.4, "order request"),
    "N2": Fault("the reply is lost after the effect", 0.02, 0.4, "order request"),
    "N3": Fault("a request arrives late, after look-ups said not found", 0.02, 0.3, "order request"),
    "N4": Fault("a proxy delivers a request twice", 0.02, 0.3, "order request"),
    "N5": Fault("the reply is cut off or not JSON", 0.02, 0.3, "order request"),
    "N6": Fault("the reply is slower than the time-out, the effect happened", 0.02, 0.3, "order request"),
    "N8": Fault("names cannot be resolved for a while: nothing is sent", 0.001, 0.01, "tick and venue"),
    "N9": Fault("a one-way partition: orders pass and questions fail, or the reverse", 0.001, 0.01, "tick and venue"),
    "N10": Fault("the price stream stalls without closing", 0.001, 0.01, "tick and venue"),
    "N11": Fault("the stream breaks; old fills are told again after it", 0.001, 0.02, "tick and venue"),
    "N12": Fault("fills come twice and out of order", 0.05, 0.5, "question for fills"),
    "N14": Fault("positions and fills disagree for up to 10 s", 0.001, 0.02, "tick and venue"),
    "B1": Fault("a stop is acknowledged and vanishes", 0.002, 0.02, "tick and position"),
    "B2": Fault("a stop is rejected: would trigger at once", 0.05, 0.8, "stop request"),
    "B3": Fault("the stop endpoint answers with a code nobody knows", 0.05, 0.8, "stop request"),
    "B4": Fault("orders fill in parts, tick by tick", 0.3, 1.0, "world"),
    "B5": Fault("a fill comes after a confirmed cancel", 0.1, 0.9, "cancel request"),
    "B6": Fault("a fill overtakes the cancel on its way", 0.1, 0.9, "cancel request"),
    "B11": Fault("a person removes the stop in the venue's own app", 0.001, 0.01, "tick and position"),
    "B17": Fault("the list of open orders is cut short", 0.05, 0.5, "question for orders"),
    "B18": Fault("an order is invisible to questions for 5 to 30 s after it was taken", 0.05, 0.5, "order request"),
    "D1": Fault("the connection is lost during a commit", 0.005, 0.1, "write"),
    "D2": Fault("the database is down for a while", 0.001, 0.01, "tick"),
    "D3": Fault("the database is slow, up to 2 s a commit", 0.003, 0.03, "tick"),
    "D5": Fault("a transaction is refused: serialization failure, deadlock, lock time-out", 0.002, 0.03, "write"),
    "P1": Fault("kill -9 at any step or any input and output", 0.5, 1.0, "world"),
    "P2": Fault("a second kill -9 during recovery", 0.3, 1.0, "restart"),
    "P4": Fault("SIGTERM, then a restart", 0.001, 0.01, "tick"),
    "C1": Fault("the wall clock steps by up to an hour", 0.003, 0.03, "tick"),
    "M1": Fault("one bad quote: 0, negative, NaN, infinite, tenfold, a tenth", 0.005, 0.05, "quote"),
    "M3": Fault("quotes stand still", 0.001, 0.01, "tick and venue"),
    "M4": Fault("a crossed book or an absurd spread", 0.005, 0.05, "quote"),
    "O1": Fault("a person presses the kill switch while all this goes on", 0.001, 0.01, "tick"),
    "N7": Fault("the connection is reset in the middle of an answer", 0.02, 0.3, "order request"),
    "N13": Fault("429: banned for up to 75 s, whatever is open", 0.001, 0.01, "tick and venue"),
    "N13w": Fault("an entry waits up to 15 s for its turn in the request budget", 0.05, 0.6, "entry"),
    "B7": Fault("an entry fills by a tenth more than it asked for", 0.002, 0.02, "tick and position"),
    "B8": Fault("a second delivery is answered with: that id exists", 0.02, 0.3, "order request"),
    "B14": Fault("the least quantity is raised above what a target sells", 0.002, 0.02, "tick and position"),
    "B16": Fault("the session closes for up to 45 s: nothing trades, no stop is taken", 0.001, 0.01, "tick and venue"),
    "C2": Fault("the wall clock drifts beyond what the venue accepts of a request", 0.003, 0.03, "tick"),
    "C3": Fault("a job comes up to 30 s too late", 0.005, 0.05, "run of a job"),
    "C4": Fault("the same candle says the same twice, under two names", 0.1, 0.9, "signal"),
    "D4": Fault("no connection of the pool becomes free for a while", 0.001, 0.01, "tick"),
    "D6": Fault("the database is read-only, or its disk is full, for a while", 0.001, 0.01, "tick"),
    "D10": Fault("a second daemon takes over while the first one runs", 0.001, 0.01, "tick"),
    "M2": Fault("a candle is missing, comes twice, out of order, still open or not yet final", 0.05, 0.5, "candles"),
    "M6": Fault("a fill far from the price", 0.05, 0.5, "order request"),
    "O2": Fault("a person presses the kill switch, and the process dies at once", 0.001, 0.01, "tick"),
    "O3": Fault("a press arrives twice", 0.001, 0.01, "tick"),
    "P3": Fault("a kill loop: up to 20 kills, each within seconds of the start", 0.2, 0.6, "world"),
    "P5": Fault("a library raises what nobody foresaw", 0.0005, 0.005, "question, read"),
    "P6": Fault("the process stands still for up to 30 s: a blocked loop", 0.001, 0.01, "tick"),
    "P8": Fault("the machine sleeps for up to 90 s, then goes on", 0.001, 0.005, "tick"),
    "B11c": Fault("a person closes a position in the venue's own app", 0.001, 0.01, "tick and position"),
    "B11o": Fault("a person rests an order of their own in the same account", 0.0005, 0.005, "tick and venue"),
    "B11p": Fault("a person opens a position of their own in the same account", 0.0005, 0.005, "tick and venue"),
    "B12": Fault("the venue closes a position by force", 0.001, 0.01, "tick and position"),
    "B22": Fault("a corporate action doubles the quantity", 0.001, 0.01, "tick and position"),
    "B15": Fault("a spot venue takes its fee in what was bought: less can be sold than was filled", 0.5, 1.0, "world"),
    "B9": Fault("a changed order goes on under a new id, and its old id has ended", 0.1, 0.9, "change of a stop"),
    "B20": Fault("the venue takes a fill back: a trade bust", 0.001, 0.01, "tick and venue with fills"),
    "M5": Fault("a venue counts an instrument otherwise: contract, tick, step, money", 0.2, 0.8, "start of a process"),
    "D11": Fault("the connection of the writer lock is lost for up to 10 s", 0.002, 0.03, "tick"),
    "D12": Fault("SIGTERM while a transaction hangs: its task is cancelled inside it", 0.0005, 0.01, "write"),
    "C5": Fault("the session day ends 70 s after the beginning", 0.5, 1.0, "world"),
    "P9": Fault("a new version: SIGTERM or kill -9, and the next process has other settings", 0.001, 0.01, "tick"),
    "B10": Fault("both legs: the stop fills while a target or a close is on its way", 0.2, 1.0, "exit request"),
    "B13": Fault(
        "an OANDA account of the other kind: it hedges instead of netting", 0.5, 1.0, "account", of_processes=True
    ),
    "B21": Fault("the key leads to another account", 0.5, 1.0, "kill", of_processes=True),
    "D7": Fault("the database is restored from a backup of before", 0.5, 1.0, "kill", of_processes=True),
    "D8": Fault("the database would lose commits in a power cut", 0.5, 1.0, "kill", of_processes=True),
    "D9": Fault("the database is of a newer version", 0.5, 1.0, "kill", of_processes=True),
    "P7": Fault("no file and no connection can be opened for up to 12 s", 0.5, 1.0, "life", of_processes=True),
}

SIMULATED_FAULTS: Final = tuple(name for name, fault in FAULTS.items() if not fault.of_processes)
FAULTS_OF_PROCESSES: Final = tuple(name for name, fault in FAULTS.items() if fault.of_processes)
DEFAULT_FAULTS: Final = tuple(name for name in SIMULATED_FAULTS if FAULTS[name].holds)
