"""What a campaign reads and writes: archives, findings, what libFuzzer says, what Cython wrote, the report."""

import zipfile
from pathlib import Path

import msgspec
import pytest

from framewarden.apps.fuzz import checkout
from framewarden.apps.fuzz.checkout import FuzzError
from framewarden.apps.fuzz.corpora import packed_in, write_archive
from framewarden.apps.fuzz.coverage import FileCoverage, native_share, origins
from framewarden.apps.fuzz.findings import Finding, read_finding
from framewarden.apps.fuzz.process import STATUS
from framewarden.apps.fuzz.report import Report, TargetReport, write_report

FINDING = Finding("stream", "0123456789ab", "KeyError", "KeyError: 'a'", ("stream.py:one: x",), "00ff", alone=True)


def test_an_archive_is_read_as_it_was_written_and_is_the_same_each_time(tmp_path):
    inputs = [b"", b"a", bytes(5000)]
    write_archive(tmp_path / "a" / "one.zip", inputs)
    write_archive(tmp_path / "a" / "two.zip", inputs)
    assert packed_in(tmp_path / "a" / "one.zip") == inputs
    assert (tmp_path / "a" / "one.zip").read_bytes() == (tmp_path / "a" / "two.zip").read_bytes()


def test_there_need_not_be_an_archive(tmp_path):
    assert packed_in(tmp_path / "none.zip") == []


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(5):
            file.writestr(str(number), bytes(16 << 20))
    with pytest.raises(FuzzError, match="unpack to more than"):
        packed_in(tmp_path / "bomb.zip")


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK no archive")
    with pytest.raises(FuzzError, match="no archive"):
        packed_in(tmp_path / "x.zip")


def test_a_finding_is_read_as_it_was_written(tmp_path):
    path = tmp_path / FINDING.name
    path.write_bytes(msgspec.json.encode(FINDING))
    assert read_finding(path) == FINDING
    assert read_finding(path).data == b"\x00\xff"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        msgspec.json.encode(FINDING)[:-1],
        msgspec.json.encode(FINDING).replace(b"00ff", b"00f"),
        msgspec.json.encode(FINDING).replace(b'"alone"', b'"more":1,"alone"'),
    ],
)
def test_what_is_no_finding_is_refused_by_name(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(FuzzError, match=r"x\.json is no finding"):
        read_finding(path)


def test_a_finding_has_a_size(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(bytes((4 << 20) + 1))
    with pytest.raises(FuzzError, match="at most"):
        read_finding(path)


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        (
            "#20488\tDONE   cov: 5278 ft: 17714 corp: 388/73Kb lim: 4096 exec/s: 975 rss: 166Mb",
            (20488, 5278, 17714, 388),
        ),
        ("#2\tINITED cov: 60 ft: 60 corp: 1/1b exec/s: 0 rss: 68Mb", (2, 60, 60, 1)),
        ("#3\tNEW    cov: 61 ft: 61 corp: 2/5b lim: 4 exec/s: 0 rss: 68Mb L: 4/4 MS: 1 Custom-", (3, 61, 61, 2)),
    ],
)
def test_what_libfuzzer_says_of_itself(line, numbers):
    match = STATUS.match(line)
    assert match is not None
    assert tuple(map(int, match.groups())) == numbers


WRITTEN_BY_CYTHON = """\
/* "framewarden/codec/_head.pyx":7
 * cdef f(x):             # <<<<<<<<<<<<<<
*/
static int f(int x) {
  /* "framewarden/codec/_head.pyx":8
 *     return x           # <<<<<<<<<<<<<<
 */
  r = x;
  goto L0;

  /* function exit code */
  L0:;
  return r;
}
"""


def test_lines_of_c_are_lines_of_cython_until_the_function_ends(tmp_path):
    path = tmp_path / "_head.c"
    path.write_text(WRITTEN_BY_CYTHON)
    found = {line: origin for line, _, origin in origins(path)}
    assert found[4] == 7
    assert found[8] == found[9] == 8
    assert not {11, 12, 13, 14} & found.keys()


def test_the_share_of_native_lines():
    files = [
        FileCoverage("ext/kernels/scalar.c", 60, (1, 2, 3)),
        FileCoverage("src/framewarden/codec/_head.pyx", 40, (4,)),
        FileCoverage("src/framewarden/codec/grammar.py", 100, tuple(range(100))),
    ]
    assert native_share(files) == pytest.approx(0.96)
    assert native_share([]) == 0


def test_the_report_has_every_figure_and_how_to_see_a_finding_again(tmp_path):
    report = Report(
        version="1",
        machine="m",
        date="d",
        seconds=120,
        interrupted=True,
        targets=[TargetReport("stream", 60.0, 6000, 1234, 77, 3, 1)],
        coverage=[FileCoverage("ext/kernels/scalar.c", 60, (11, 12))],
        findings=[FINDING],
    )
    page = write_report(report, tmp_path / "out").read_text()
    assert msgspec.json.decode((tmp_path / "out" / "report.json").read_bytes(), type=Report) == report
    assert "| `stream` | 60 | 6,000 | 100 | 1,234 | 77 | 3 | 1 |" in page
    assert "| `ext/kernels/scalar.c` | 60 | 96.7% | 11, 12 |" in page
    assert "It was interrupted." in page
    assert "framewarden fuzz reproduce tests/regressions/findings/stream-0123456789ab.json" in page


def test_what_is_lacking_is_said_with_how_it_is_had(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    said = checkout.lacking(None)
    assert "clang (apt-get install clang" in said
    assert "a checkout of framewarden" in said
    assert said.endswith("framewarden fuzz run --driver hypothesis")


def test_a_checkout_is_found_from_inside_it(monkeypatch):
    root = Path(__file__).parents[4]
    monkeypatch.chdir(root / "tests" / "unit")
    assert checkout.find() == root
    assert {"stream", "calls", "kernels_c"} <= set(checkout.target_names(root))
