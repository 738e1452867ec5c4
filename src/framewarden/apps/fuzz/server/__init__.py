"""A campaign against somebody's server: hostile streams and requests, the answers beside our own verdict.

``streams`` and ``requests`` make what is sent, ``strict`` judges it with our engine; both together are a ``trial``,
which becomes a Case that ``apps.cases`` plays. ``making`` makes them by number, ``sending`` sends them on threads that
``gate`` holds back, ``comparing`` says what an answer is worth, ``findings`` keeps one of each kind. ``watching`` looks
whether the server lives and what it grows by, ``growth`` what makes it grow. ``minimising`` makes an input small.
``campaign`` does it all; ``reporting`` writes it down, ``showing`` tells a person, ``reproducing`` plays it again.
"""

from framewarden.apps.fuzz.server.campaign import Campaign, Progress, Settings
from framewarden.apps.fuzz.server.findings import Finding, Report
from framewarden.apps.fuzz.server.reporting import make_report
from framewarden.apps.fuzz.server.reproducing import Reproduction, reproduce_on_server

__all__ = [
    "Campaign",
    "Finding",
    "Progress",
    "Report",
    "Reproduction",
    "Settings",
    "make_report",
    "reproduce_on_server",
]
