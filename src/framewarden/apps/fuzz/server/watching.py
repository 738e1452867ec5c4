"""Look after the server while it is fuzzed: whether it lives, and what its process grows by."""

import time

from framewarden.apps.cases.runner import still_alive
from framewarden.apps.cases.target import Memory, Target, Trouble
from framewarden.apps.fuzz.server.comparing import Kind
from framewarden.apps.fuzz.server.findings import Entry, Findings
from framewarden.apps.fuzz.server.growth import find_grower
from framewarden.apps.fuzz.server.sending import Sender, Sent
from framewarden.apps.fuzz.server.trial import Trial, growing

__all__ = ["Watch"]

WARM_UP = 64
"""Trials after which the memory of the server begins to be watched: until then it fills its caches."""
MOST_SUSPECTS = 16
MOST_DEATHS = 5
"""How often it may come back; then it is fuzzed no more."""
MANY_CONNECTIONS = 32
"""How often the case of a finding about memory sends its trial."""
LOOK_SECONDS = 0.5
"""Between two looks at its memory."""
NOT_REACHED = ("refused to connect", "no handshake")
"""Answers of a server that has not read what was sent."""
ALIVE = "an honest client is served"


class Watch:
    """Watches one server. Every look is made by the same thread.

    Args:
        target: the server; its memory is watched if it has a pid.
        sender: who sends it trials.
        findings: where what is found is handed in.
        nothing: the trial that sends nothing but its opening handshake and a Ping.
        max_growth: bytes that the process may grow by.
        return_seconds: how long a server that is gone may take to come back.

    Attributes:
        grown: bytes that the process grew by; None: it is not looked at, or not yet.
    """

    def __init__(
        self,
        target: Target,
        sender: Sender,
        findings: Findings,
        nothing: Trial,
        *,
        max_growth: int,
        return_seconds: float,
    ) -> None:
        self.grown: int | None = None
        self._target = target
        self._sender = sender
        self._findings = findings
        self._nothing = nothing
        self._max_growth = max_growth
        self._return_seconds = return_seconds
        self._memory: Memory | None = None
        self._watched_from = 0
        self._looked = 0.0
        self._deaths = 0

    def look(self) -> str:
        """Look at the server. Returns why the campaign has to end; "": it has not."""
        ended = ""
        if self._sender.doubt.is_set():
            with self._sender.gate.alone():
                self._sender.doubt.clear()
                trouble = still_alive(self._target)
                if trouble:
                    ended = self._find_killer(trouble)
        if not ended and self._target.pid is not None and time.monotonic() >= self._looked + LOOK_SECONDS:
            self._looked = time.monotonic()
            ended = self._look_at_memory(self._target.pid)
        return ended

    # --- Whether it lives ---------------------------------------------------------------------------------------------

    def _find_killer(self, trouble: Trouble) -> str:
        """Say which trials may have done it, and try them one by one if the server comes back."""
        suspects = self._suspects()
        self._deaths += 1
        confirmed = False
        back = self._comes_back()
        for sent in suspects if back else ():
            self._sender.play(sent.trial)
            if still_alive(self._target):
                suspects, confirmed = [sent], True
                back = self._comes_back()
                break
        kind: Kind = "hang" if trouble.silent else "crash"
        entry = Entry(suspects[0].trial, suspects[0].number)
        entry.confirmed = confirmed
        if len(suspects) > 1:
            entry.suspects = tuple(sent.trial for sent in suspects[1:])
            entry.detail = f"by one of {len(suspects)} inputs that were sent at about the same time"
        self._findings.put(kind, ALIVE, trouble.text, entry)
        if not back:
            return f"{trouble.text}, and it did not come back"
        return f"the server had to come back {self._deaths} times" if self._deaths == MOST_DEATHS else ""

    def _suspects(self) -> list[Sent]:
        """What was not over yet when the server was last seen to live, the likeliest first.

        That is what was not answered, or answered and not ended by the server, the earliest first; then the others, the
        latest first: a server may die a little later.
        """
        recent = self._sender.recent()
        lived = max((sent.begun for sent in recent if sent.answered), default=0.0)
        suspects = [sent for sent in recent if sent.ended >= lived and sent.outcome.answer not in NOT_REACHED]
        unfinished = sorted((sent for sent in suspects if not sent.finished), key=lambda sent: sent.begun)
        finished = sorted((sent for sent in suspects if sent.finished), key=lambda sent: -sent.ended)
        return (unfinished or finished or recent)[:MOST_SUSPECTS]

    def _comes_back(self) -> bool:
        until = time.monotonic() + self._return_seconds
        while self._target.alive() is not None:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    # --- What it holds ------------------------------------------------------------------------------------------------

    def _look_at_memory(self, pid: int) -> str:
        if self._memory is None:
            if self._sender.trials >= WARM_UP:
                self._memory, self._watched_from = Memory(pid), self._sender.trials
            return ""
        self.grown = self._memory.growth()
        if self.grown <= self._max_growth:
            return ""
        with self._sender.gate.alone():
            self._find_grower(self.grown)
        return "the server grew by more than it may"

    def _find_grower(self, grown: int) -> None:
        average = grown / max(1, self._sender.trials - self._watched_from)
        recent = [sent.trial for sent in self._sender.recent()[-MOST_SUSPECTS:]]
        found = find_grower([self._nothing, *recent], self._target, average)
        entry = Entry(self._nothing if found is None else found.trial, self._sender.trials)
        if found is None:
            entry.detail = f"by {grown:,} bytes; no single input of the last ones makes it grow"
        else:
            entry.detail = f"by {grown:,} bytes; with this input by {found.each:,} bytes for each connection"
            entry.confirmed = True
            entry.case = growing(found.trial, MANY_CONNECTIONS, MANY_CONNECTIONS * found.each // 2)
        self._findings.put("memory", f"at most {self._max_growth:,} bytes more", "it grows", entry)
