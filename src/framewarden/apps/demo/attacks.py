"""One attack for every rule, or the reason why there is none."""

from framewarden.apps.demo.frames import FRAMES
from framewarden.apps.demo.handshakes import HANDSHAKES
from framewarden.apps.demo.messages import MESSAGES
from framewarden.apps.demo.payloads import PAYLOADS
from framewarden.apps.demo.resources import RESOURCES
from framewarden.apps.demo.timeouts import TIMEOUTS
from framewarden.rules import RULES

__all__ = ["ATTACKS", "EXEMPT", "not_shown"]

ATTACKS = FRAMES + PAYLOADS + MESSAGES + TIMEOUTS + RESOURCES + HANDSHAKES

EXEMPT = {
    "out-of-memory": "an allocation must fail for it, and no input of bounded size makes one fail",
    "internal-error": "a callback of the Inspector's owner must raise for it, and no input makes a clock raise",
    "tls-handshake": "the servers of the demo speak plain TCP: TLS would need a certificate",
}
"""Rules that no input of the demo breaks, and why."""


def not_shown() -> list[str]:
    """Rules that have neither an attack nor a reason."""
    return [rule for rule in RULES if rule not in EXEMPT and rule not in {attack.rule for attack in ATTACKS}]
