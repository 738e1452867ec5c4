"""The trials of a campaign, by number: the same seed and number make the same trial."""

import random
from collections.abc import Iterable
from typing import Self

import msgspec

from framewarden.apps.cases.case import Case
from framewarden.apps.cases.target import Target
from framewarden.apps.cases.wire import ADDRESS, head
from framewarden.apps.fuzz.server.requests import make_request
from framewarden.apps.fuzz.server.streams import make_stream
from framewarden.apps.fuzz.server.strict import TARGET, Strict
from framewarden.apps.fuzz.server.trial import Trial
from framewarden.codec.extensions import DeflateParameters, check_deflate
from framewarden.policy import Deflate

__all__ = ["Corpus", "Maker", "agreed_deflate"]

REQUESTS = 0.15
"""Share of trials that are requests."""
COMPRESSED = 0.4
"""Share of streams behind a handshake that agreed on permessage-deflate, if the server does."""
LONGEST_BEGINNING = 64 * 1024
"""Bytes of a case that trials begin with."""
CUT = 0.1
"""Share of trials that are sent in several writes."""


class Corpus(msgspec.Struct, frozen=True):
    """What trials begin with, beside what is honest.

    Attributes:
        streams: sent behind the opening handshake.
        requests: with ``ADDRESS`` and ``TARGET`` for the server's.
    """

    streams: tuple[bytes, ...] = ()
    requests: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Self:
        """What cases send to a server. Those of more than 64 KiB are left out: they would be most of the time."""
        sent: dict[str, list[bytes]] = {"frames": [], "handshake": []}
        for case in cases:
            if case.role == "server" and case.stage in sent:
                data = case.stream(ADDRESS, TARGET)
                if 0 < len(data) <= LONGEST_BEGINNING:
                    sent[case.stage].append(data)
        return cls(tuple(sent["frames"]), tuple(sent["handshake"]))


class Maker:
    """Makes trials.

    Args:
        seed: of the campaign.
        strict: the judge.
        deflate: what the server agrees on when it is offered permessage-deflate; None: it does not.
        corpus: streams and requests to begin with.
    """

    def __init__(self, seed: int, strict: Strict, deflate: DeflateParameters | None, corpus: Corpus) -> None:
        self.strict = strict
        self.deflate = deflate
        self._seed = seed
        self._corpus = corpus

    def make(self, number: int) -> Trial:
        """The trial with this number."""
        rng = random.Random(f"{self._seed}/{number}")  # noqa: S311 - it must come again, not be secret
        if rng.random() < REQUESTS:
            verdict, compressed = self.strict.request(make_request(rng, self._corpus.requests)), False
        else:
            compressed = self.deflate is not None and rng.random() < COMPRESSED
            deflate = self.deflate if compressed else None
            verdict = self.strict.stream(make_stream(rng, self._corpus.streams, deflate), deflate)
        cuts: tuple[int, ...] = ()
        if rng.random() < CUT:
            cuts = tuple(rng.randint(1, 1 + len(verdict.data) // 2) for _ in range(rng.randint(1, 4)))
        return Trial(verdict, compressed, cuts)

    def remake(self, trial: Trial, data: bytes) -> Trial:
        """The same trial with other bytes, judged again, in one write."""
        if trial.verdict.stage == "handshake":
            return Trial(self.strict.request(data))
        return Trial(self.strict.stream(data, self.deflate if trial.deflate else None), trial.deflate)


def agreed_deflate(target: Target) -> DeflateParameters | None:
    """What a server agrees on when it is offered permessage-deflate without parameters, as ``Wire.upgrade`` does.

    Raises:
        OSError: it does not answer.
    """
    with target.connect() as wire:
        wire.send(head("Sec-WebSocket-Extensions: permessage-deflate", line=f"GET {target.uri.target} HTTP/1.1"))
        status, headers = wire.read_head()
    answer = headers.get("sec-websocket-extensions")
    if status != 101 or answer is None:
        return None
    offered = Deflate(client_context_takeover=True, server_context_takeover=True)
    agreed = check_deflate([answer], offered)
    return agreed if isinstance(agreed, DeflateParameters) else None
