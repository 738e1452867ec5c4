"""Cases: hostile (and a few honest) inputs as data, and the one runner that plays them against any server.

``case`` is what a case is and reads one from a file. ``wire`` is the raw socket, ``answers`` reads what comes back,
``target`` is the server under test, ``play`` plays one case, ``verdict`` says what the outcome is worth, ``runner``
does it all and looks after each case whether the server still lives.
"""

from framewarden.apps.cases.case import Case, Cost, Head, Part, load_cases, parse_case
from framewarden.apps.cases.play import Outcome, play, strike
from framewarden.apps.cases.runner import Result, run
from framewarden.apps.cases.target import Target
from framewarden.apps.cases.verdict import Judgement, Verdict, judge

__all__ = [
    "Case",
    "Cost",
    "Head",
    "Judgement",
    "Outcome",
    "Part",
    "Result",
    "Target",
    "Verdict",
    "judge",
    "load_cases",
    "parse_case",
    "play",
    "run",
    "strike",
]
