"""What an operator is told: security events about refusals, and errors of user code without any payload."""

import time
import traceback

from framewarden.policy import Policy, SecurityEvent

__all__ = ["describe_error", "report_refusal"]


def report_refusal(policy: Policy, rule: str, address: str) -> None:
    """Give ``policy.on_event`` the refusal of a peer that never got connected. Never raises."""
    if policy.on_event is None:
        return
    event = SecurityEvent(
        rule=rule, action="refuse", session_id="", subject="", address=address, offset=-1, time=time.time()
    )
    try:
        policy.on_event(event)
    except Exception as error:  # noqa: BLE001  # user code raises what it likes
        _Unraisable(error)


class _Unraisable:
    """Gives an exception to sys.unraisablehook, whose argument Python cannot make: a finalizer that raises does."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


def describe_error(error: BaseException) -> str:
    """An exception's type and where it came from, without its text: that may quote the message or the request."""
    frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    return f"{type(error).__qualname__}\n{frames}"
