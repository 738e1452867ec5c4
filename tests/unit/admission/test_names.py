"""Hosts and origins are compared as tuples; two spellings of one thing are one tuple, and nothing else is."""

import pytest

from framewarden.admission import format_host, parse_host, parse_origin
from framewarden.admission.names import usual_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("example.org", ("example.org", 80)),
        ("EXAMPLE.org:8080", ("example.org", 8080)),
        ("example.org:", ("example.org", 80)),
        ("[::1]:1", ("::1", 1)),
        ("[0:0:0:0:0:0:0:1]", ("::1", 80)),
        ("a:65536", None),
        ("a b", None),
        ("", None),
        ("::1", None),
    ],
)
def test_parse_host(value, expected):
    assert parse_host(value, 80) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://example.org", ("http", "example.org", 80)),
        (f"http://{'a' * 300}", ("http", "a" * 300, 80)),
        (f"http://{'a' * 300}/", None),
        ("HTTPS://Example.org", ("https", "example.org", 443)),
        ("https://example.org:8443", ("https", "example.org", 8443)),
        ("http://[::1]:3000", ("http", "::1", 3000)),
        ("app://local:1", ("app", "local", 1)),
        ("app://local", None),  # no default port
        ("null", None),
        ("", None),
        ("example.org", None),
        ("http://", None),
        ("http://a/", None),
        ("http://a/b", None),
        ("http://user@a", None),
        ("http://a http://b", None),
        ("http://a,http://b", None),
    ],
)
def test_parse_origin(value, expected):
    assert parse_origin(value) == expected


def test_format_host():
    assert format_host("::1", 80) == "[::1]:80"
    assert format_host("a", 80) == "a:80"


@pytest.mark.parametrize(
    ("name", "port", "text"),
    [
        ("example.org", 80, "example.org"),
        ("example.org", 8080, "example.org:8080"),
        ("::1", 80, "[::1]"),
        ("::1", 1, "[::1]:1"),
        ("127.0.0.1", 443, "127.0.0.1:443"),
    ],
)
def test_the_usual_text_is_parsed_to_the_same(name, port, text):
    assert usual_text(name, port, 80) == text
    assert parse_host(text, 80) == (name, port)
