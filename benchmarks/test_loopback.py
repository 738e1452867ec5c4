"""The programs that measure real servers, for a moment each: that they run, and say what they should.

A bound that a moment on a busy machine does not keep is no failure here; ``make bench-echo`` judges.
"""

import pytest

from benchmarks import connections, end_to_end, many


@pytest.mark.parametrize("row", end_to_end.ROWS)
def test_end_to_end(row, capsys):
    how = {"rounds": 2, "seconds": 0.05, "connections": 4, "in-flight": 8, "refill": 4, "size": 20, "refusals": 10}
    how["servers"] = "framewarden,framewarden lean,picows Python"
    code = end_to_end.main([row, *(f"--{name}={value}" for name, value in how.items())])
    lines = capsys.readouterr().out.splitlines()
    assert code == any(line.endswith("SHORT") for line in lines)
    for name in ("framewarden", "framewarden lean", "picows Python"):
        assert sum(line.startswith(f"  {name:18} ") for line in lines) == 1, lines


def test_connections(capsys):
    assert connections.main(["--connections", "100", "--only", "lean"]) in (0, 1)
    assert "  framewarden lean, deflate " in capsys.readouterr().out


@pytest.mark.parametrize("carrier", ["lean", "picows"])
def test_many(carrier, capsys, monkeypatch):
    monkeypatch.setattr(many, "MOST_HOLD_SECONDS", 1.0)
    assert many.main(["--connections", "50", "--carrier", carrier]) == 1  # the first Ping comes after 20 seconds
    out = capsys.readouterr().out
    assert "opened 50 in" in out
    assert out.endswith("the server has sent 0 Pings only\n")


def test_the_plan_is_computed_from_what_was_measured():
    found = many.Figures(base_bytes=2**30, process_bytes=2**20, kernel_bytes=2**10, ping_cpu=10e-6)
    text = "\n".join(many.plan(found, 1_048_576))
    assert "memory: 1035.0 GiB in the server's processes, 1.0 GiB in the kernel" in text
    assert "--workers 11" in text
    assert "takes 5% of a core" in text
