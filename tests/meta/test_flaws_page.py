"""The comparison of servers is what was measured, and has every case of the pack."""

from docs import flaws
from framewarden.apps.cases import Verdict
from framewarden.apps.probe.pack import flaw_cases, flaw_classes

SERVERS = {server.name: server for server in flaws.results()}
LABELS = {verdict.label for verdict in Verdict}


def test_the_page_is_made_of_the_results():
    assert flaws.PAGE.read_text() == flaws.page(flaws.results()), "run: make flaws"


def test_the_results_have_the_whole_pack():
    for server in SERVERS.values():
        assert set(server.classes) == {each.id for each in flaw_classes()}, "run: make flaws"
        assert set(server.cases) == {case.id for case in flaw_cases()}, "run: make flaws"
        verdicts = {word for words, _ in server.cases.values() for word in words.split()}
        assert set(server.classes.values()) | verdicts <= LABELS


def test_it_compares_us_with_the_others_by_version():
    assert SERVERS.keys() == {"framewarden", "websockets", "aiohttp", "node ws"}
    assert all(server.version[0].isdigit() for server in SERVERS.values())
    assert set(SERVERS["framewarden"].classes.values()) == {"strict", "n/a"}
