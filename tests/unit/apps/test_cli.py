"""The command line: what it prints, and one line and exit code 2 for every error."""

import importlib
import sys

import pytest

from framewarden import kernels
from framewarden.apps import cli, server
from framewarden.errors import PolicyError
from framewarden.rules import RULES
from framewarden.session import Handler


def run(monkeypatch, capsys, *arguments):
    """Exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["framewarden", *arguments])
    code = cli.main()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_rules(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "rules")
    assert code == 0
    for rule in RULES.values():
        line = next(line for line in out.splitlines() if line.startswith(f"│ {rule.id} "))
        assert str(rule.close_code or rule.status or "nothing") in line
        assert rule.text in line


def test_kernels(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "kernels")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(kernels.available())
    assert f"{kernels.active()}  (active)" in out


def test_version(monkeypatch, capsys):
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"1.2.3 of {name}")
    assert run(monkeypatch, capsys, "--version") == (0, "framewarden 1.2.3 of framewarden\n", "")


def test_without_a_command_it_helps(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys)
    assert code == 0
    assert "serve" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "nonsense"),
        (["serve", "--nonsense"], "--nonsense"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--port", "x"], "--port"),
        (["serve", "--policy"], "--policy"),
        (["serve", "--policy", "/does/not/exist.toml"], "No such file"),
        (["serve", "nonsense"], "module:Name"),
        (["serve", "no_such_module:X"], "no_such_module"),
        (["serve", "framewarden.session:Nothing"], "Nothing"),
        (["serve", "framewarden.session:Session"], "not a framewarden.Handler"),
        (["serve", "--tls-cert", "/does/not/exist.pem"], "No such file"),
        (["serve", "--tls-cert", "/not/here.pem", "--tls-key", "/nor/here.key"], "/not/here.pem, /nor/here.key: "),
        (["serve", ".relative:X"], "TypeError"),
        (["serve", "--tls-key", "/does/not/exist.pem"], "--tls-cert"),
        (["serve", "--tls-client-ca", "/does/not/exist.pem"], "--tls-client-ca needs --tls-cert"),
        (["serve", "--carrier", "pigeon"], "'picows' or 'lean'"),
        (["serve", "--workers", "0"], "--workers"),
        (["serve", "framewarden.session:Handler", "another"], "another"),
        (["serve", "--host", "0.0.0.0", "--port", "0"], "without TLS"),
        (["serve", "--host", "192.0.2.1"], "192.0.2.1:8765: "),
        (["serve", "--host", "a..b"], "a..b"),
    ],
)
def test_an_error_is_one_line(monkeypatch, capsys, arguments, message):
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("framewarden: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_policy_with_an_error(monkeypatch, capsys, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text("[limits]\nmax_frame_bytes = -1\n")
    code, _, err = run(monkeypatch, capsys, "serve", "--policy", str(file))
    assert code == 2
    assert "max_frame_bytes" in err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("raise SystemExit('boom')", "SystemExit: boom"),
        ("from framewarden.session import Handler\nclass X(Handler):\n  def __init__(self, a): pass", "TypeError: "),
        ("from framewarden.session import Handler\nclass X(Handler):\n  def __init__(self): exit(7)", "SystemExit: 7"),
        ("from framewarden.session import Handler\nclass X(Handler):\n  def __init__(self): 1 / 0", "ZeroDivision"),
    ],
)
def test_a_handler_that_cannot_be_made(monkeypatch, capsys, tmp_path, source, message):
    (tmp_path / "unusable_handler.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "unusable_handler", raising=False)
    importlib.invalidate_caches()
    code, out, err = run(monkeypatch, capsys, "serve", "unusable_handler:X")
    sys.modules.pop("unusable_handler", None)
    assert (code, out) == (2, "")
    assert err.startswith("framewarden: handler unusable_handler:X: ")
    assert err.count("\n") == 1
    assert message in err


def test_the_base_of_wrong_usage():
    assert cli.WrongUsage.__name__ == "ClickException"


def test_handlers_are_found_in_the_current_directory(monkeypatch, tmp_path):
    (tmp_path / "my_chat_app.py").write_text(
        "from framewarden.session import Handler\nclass Chat(Handler): pass\nchat = Chat()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    server.search_current_directory()
    assert issubclass(server.load_handler("my_chat_app:Chat"), Handler)
    assert isinstance(server.load_handler("my_chat_app:chat"), Handler)
    with pytest.raises(PolicyError):
        server.load_handler("my_chat_app:nothing")
