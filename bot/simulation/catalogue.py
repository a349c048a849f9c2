"""The fault catalogue as far as this tier can inject it. Ids and meanings: docs/simulation.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind. A seed that has it on draws its rate between `least` and `most`, per occasion; `at` names those."""

    says: str
    least: float
    most: float
    at: str


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
    "D1": Fault("the connection is lost during a commit", 0.002, 0.03, "write"),
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
}
