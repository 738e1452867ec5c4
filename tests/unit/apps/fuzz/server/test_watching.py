"""Who is suspected when a server dies."""

import pytest

from framewarden.apps.cases.play import Outcome
from framewarden.apps.fuzz.server.findings import Findings
from framewarden.apps.fuzz.server.sending import Sent
from framewarden.apps.fuzz.server.strict import Verdict
from framewarden.apps.fuzz.server.trial import Trial
from framewarden.apps.fuzz.server.watching import MOST_SUSPECTS, Watch

TRIAL = Trial(Verdict("frames", b"", "", "accepted"))
REQUEST = Trial(Verdict("handshake", b"", "", "HTTP 101"))


def sent(number, answer, begun, ended, *, end="FIN", trial=TRIAL):
    return Sent(trial, number, Outcome(answer=answer, end=end), begun, ended)


class Sender:
    """One that has sent what it is told."""

    def __init__(self, *recent):
        self._recent = list(recent)

    def recent(self):
        return self._recent


def suspects(*recent):
    watch = Watch(None, Sender(*recent), Findings(), TRIAL, max_growth=1, return_seconds=1.0)
    return [each.number for each in watch._suspects()]


def test_what_was_not_answered_the_earliest_first():
    assert suspects(
        sent(1, "accepted", 0, 1),
        sent(4, "hang", 3.5, 5.5),
        sent(3, "dropped", 3, 5),
        sent(5, "no handshake", 5, 6),
        sent(6, "refused to connect", 6, 6),
    ) == [3, 4]


def test_nothing_that_was_over_when_the_server_was_seen_to_live():
    """It was dropped, and a later one was answered."""
    assert suspects(sent(1, "dropped", 0, 1), sent(2, "close 1002", 2, 3), sent(3, "hang", 3, 5)) == [3]


def test_one_that_was_answered_and_never_ended():
    assert suspects(sent(1, "close 1002", 0, 1), sent(2, "accepted", 1, 3, end="open"), sent(3, "hang", 2, 4)) == [2, 3]


def test_a_request_need_not_be_ended():
    recent = [sent(1, "HTTP 101", 0, 2, end="open", trial=REQUEST), sent(2, "dropped", 1, 2)]
    assert suspects(*recent) == [2]


def test_if_all_was_answered_what_was_answered_last():
    assert suspects(
        sent(1, "accepted", 0, 1), sent(2, "accepted", 2, 4), sent(3, "close 1002", 3, 5), sent(4, "no handshake", 5, 6)
    ) == [3, 2]


def test_if_nothing_reached_it_everything():
    assert suspects(sent(1, "no handshake", 0, 1), sent(2, "refused to connect", 1, 1)) == [1, 2]


@pytest.mark.parametrize("answer", ["hang", "accepted"])
def test_not_more_than_can_be_tried(answer):
    assert len(suspects(*(sent(number, answer, 0, 1) for number in range(64)))) == MOST_SUSPECTS
