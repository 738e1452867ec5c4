"""Who may connect."""

import asyncio
import logging

import pytest

from framewarden.admission import Accepted, Admission, report_refusal
from framewarden.codec.handshake import HandshakeParser, Request
from framewarden.errors import PolicyError
from framewarden.identity import Identity
from framewarden.policy import Access, Deflate, Limits, Policy

ADDRESS = ("127.0.0.1", 8765)


def request(*headers, host="127.0.0.1:8765", path="/"):
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
        "",
        "",
    ]
    parsed = HandshakeParser(Limits()).feed("\r\n".join(lines).encode())
    assert isinstance(parsed, Request)
    return parsed


def rule(decision):
    return None if isinstance(decision, Accepted) else decision.rule


def admit(asked, policy=Policy(), address=ADDRESS, **options):
    return Admission(policy, address, **options).admit(asked)


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("127.0.0.1:8765", None),
        ("localhost:8765", None),
        ("LOCALHOST:8765", None),
        ("[::1]:8765", None),
        ("[0:0::1]:8765", None),
        ("localhost", "host-not-allowed"),
        ("localhost:8766", "host-not-allowed"),
        ("evil.example:8765", "host-not-allowed"),
        ("localhost.evil.example:8765", "host-not-allowed"),
        ("127.0.0.1.:8765", "host-not-allowed"),
    ],
)
def test_default_hosts(host, refused):
    assert rule(admit(request(host=host))) == refused


def test_default_hosts_know_the_default_port():
    assert rule(admit(request(host="localhost"), address=("127.0.0.1", 80))) is None
    assert rule(admit(request(host="localhost"), address=("127.0.0.1", 443), secure=True)) is None
    assert rule(admit(request(host="localhost"), address=("127.0.0.1", 80), secure=True)) == "host-not-allowed"


def test_configured_hosts_replace_the_default():
    policy = Policy(access=Access(hosts=("chat.example.org",)))
    assert rule(admit(request(host="chat.example.org"), policy)) is None
    assert rule(admit(request(host="chat.example.org:443"), policy, secure=True)) is None
    assert rule(admit(request(), policy)) == "host-not-allowed"


def test_dangerous_allow_host():
    policy = Policy(access=Access(dangerous_allow_host_not_allowed=True))
    assert rule(admit(request(host="evil.example"), policy)) is None


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://127.0.0.1:8765", None),
        ("http://localhost:8765", None),
        ("https://localhost:8765", None),
        ("http://[::1]:8765", None),
        ("http://localhost", "origin"),
        ("http://localhost:8766", "origin"),
        ("ws://localhost:8765", "origin"),
        ("https://evil.example", "origin"),
        ("null", "origin"),
        ("", "origin"),
        ("http://localhost:8765/", "origin"),
    ],
)
def test_default_origins(origin, refused):
    assert rule(admit(request(f"Origin: {origin}"))) == refused


def test_no_origin_passes():
    assert rule(admit(request())) is None


def test_configured_origins_are_exact():
    policy = Policy(access=Access(origins=("https://example.org",)))
    assert rule(admit(request("Origin: https://example.org"), policy)) is None
    assert rule(admit(request("Origin: https://example.org:443"), policy)) is None
    for origin in ("http://example.org", "https://www.example.org", "https://example.org:444", "http://localhost:8765"):
        assert rule(admit(request(f"Origin: {origin}"), policy)) == "origin"


def test_an_origin_that_equals_the_host_is_not_enough():
    policy = Policy(access=Access(dangerous_allow_host_not_allowed=True))
    rebound = request("Origin: http://evil.example:8765", host="evil.example:8765")
    assert rule(admit(rebound, policy)) == "origin"


def test_dangerous_allow_origin():
    policy = Policy(access=Access(dangerous_allow_origin=True))
    assert rule(admit(request("Origin: null"), policy)) is None


@pytest.mark.parametrize(
    "access",
    [
        Access(origins=("example.org",)),
        Access(origins=("null",)),
        Access(hosts=("a b",)),
        Access(subprotocols=("v1", "a b")),
        Access(subprotocols=("",)),
    ],
)
def test_a_policy_that_cannot_be_read(access):
    with pytest.raises(PolicyError):
        Admission(Policy(access=access), ADDRESS)


def test_paths():
    policy = Policy(access=Access(paths=("/chat",)))
    assert rule(admit(request(path="/chat?x=1"), policy)) is None
    for path in ("/", "/chat/", "/Chat", "/%63hat"):
        assert rule(admit(request(path=path), policy)) == "not-found"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("a, b", "b"), ("a", "a"), ("c", None), (None, None), ("B", None)],
)
def test_subprotocol_by_our_preference(offered, chosen):
    headers = [] if offered is None else [f"Sec-WebSocket-Protocol: {offered}"]
    decision = admit(request(*headers), Policy(access=Access(subprotocols=("b", "a"))))
    assert decision.subprotocol == chosen


def test_compression_only_where_the_policy_says_so():
    asked = request("Sec-WebSocket-Extensions: permessage-deflate")
    assert admit(asked).extensions is None
    assert admit(asked).deflate is None
    decision = admit(asked, Policy(deflate=Deflate()))
    assert decision.extensions.startswith("permessage-deflate")
    assert decision.deflate is not None


# authenticate


def decide(authenticate, **options):
    """The decision, which an async authenticate makes later."""
    decision = admit(request(), authenticate=authenticate, **options)
    if isinstance(decision, Accepted) or hasattr(decision, "rule"):
        return decision, False

    async def wait():
        return await decision

    return asyncio.run(wait()), True


def raises(error):
    def authenticate(request):
        raise error

    return authenticate


ANN = Identity(subject="ann")


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda request: ANN, ANN),
        (lambda request: None, "unauthenticated"),
        (lambda request: "ann", "authenticate-error"),
        (raises(PermissionError()), "forbidden"),
        (raises(RuntimeError("secret")), "authenticate-error"),
        (raises(asyncio.CancelledError("secret")), "authenticate-error"),
    ],
)
def test_authenticate(answer, expected, later, caplog):
    caplog.set_level(logging.ERROR)

    async def slowly(request):
        await asyncio.sleep(0)
        return answer(request)

    decision, was_later = decide(slowly if later else answer)
    assert was_later == later
    if isinstance(expected, Identity):
        assert decision.identity is expected
    else:
        assert decision.rule == expected
    assert "secret" not in caplog.text


def test_401_has_a_challenge():
    decision, _ = decide(lambda request: None, challenge='Bearer realm="x"')
    assert decision.headers == (("WWW-Authenticate", 'Bearer realm="x"'),)


@pytest.mark.parametrize("challenge", ['Bearer realm="é"', "", "a\r\nb: c", None])
def test_a_challenge_that_cannot_be_sent(challenge):
    with pytest.raises(PolicyError, match="challenge"):
        Admission(Policy(), ADDRESS, challenge=challenge)


def test_who_cancels_an_admission_cancels_it():
    async def for_ever(request):
        await asyncio.sleep(60)

    async def main():
        task = asyncio.ensure_future(admit(request(), authenticate=for_ever))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_authenticate_comes_last():
    called = []
    admit(request(host="evil.example"), authenticate=called.append)
    assert called == []


def test_a_failing_on_event_changes_nothing(monkeypatch):
    seen = []
    monkeypatch.setattr("sys.unraisablehook", seen.append)

    def fail(event):
        raise ValueError(event.rule)

    report_refusal(Policy(on_event=fail), "origin", "127.0.0.1:1")
    assert seen[0].exc_type is ValueError
    report_refusal(Policy(), "origin", "")
