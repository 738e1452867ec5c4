"""What the documents say of the client and of conformance is so."""

import asyncio

from framewarden.session import Handler
from tests.conformance import ledger
from tests.e2e.harness import run, serving
from tests.meta.imports import ROOT
from tests.meta.test_docs import python_blocks


@run
async def test_the_client_of_the_readme(capsys):
    code = python_blocks("README.md")[2]
    async with serving() as server:
        code = code.replace("ws://127.0.0.1:8765", server.url)
        await asyncio.to_thread(exec, compile(code, "README.md", "exec"), {"__name__": "readme"})
        assert capsys.readouterr().out == "hello\n"
        assert server.events == []


@run
async def test_the_client_of_its_page(capsys):
    class Greeter(Handler):
        def on_message(self, session, message):
            session.send(message)
            session.close()

    (code,) = python_blocks("docs/client.md")
    async with serving(Greeter) as server:
        names = {}
        exec(code.replace("wss://example.org", server.url), names)  # noqa: S102 - it is our own text
        await names["main"]()
        assert capsys.readouterr().out == "hello\n"


def test_the_table_of_the_cases_is_the_ledger():
    assert ledger.table(ledger.load()) in (ROOT / "docs" / "conformance.md").read_text()
