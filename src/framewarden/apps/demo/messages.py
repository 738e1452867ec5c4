"""Attacks with whole messages that the schema judges, or that make the application fail."""

from framewarden.apps.demo.attack import Attack, masked, text

__all__ = ["MESSAGES"]

MESSAGES = (
    Attack(
        rule="decode-nodes",
        sent="an array of 100,000 numbers",
        data=text(f'{{"type":"say","room":[{"1," * 99_999}1]}}'),
    ),
    Attack(rule="schema-opcode", sent="Binary where only Text has a type", data=masked(2, b"\x80")),
    Attack(rule="schema-malformed", sent="JSON that is cut short", data=text('{"type":"say","room":')),
    Attack(rule="schema-mismatch", sent='"text": a number', data=text('{"type":"say","room":"lobby","text":7}')),
    Attack(
        rule="schema-depth",
        sent="100,000 arrays in each other",
        data=text("[" * 100_000),
        against="impatient",
        path="/notes",
    ),
    Attack(rule="schema-number", sent='"number": NaN', data=text('{"type":"react","number":NaN,"emoji":"heart"}')),
    Attack(
        rule="schema-surrogate",
        sent=r'"text": "\ud800"',
        data=text(r'{"type":"say","room":"lobby","text":"\ud800"}'),
    ),
    Attack(
        rule="schema-unicode",
        sent="MessagePack, its name FF",
        data=masked(2, b"\x82\xa4name\xa1\xff\xa7content\xc4\x00"),
        path="/files",
    ),
    Attack(
        rule="schema-duplicate-key",
        sent='"room" twice',
        data=text('{"type":"join","room":"lobby","room":"admins"}'),
    ),
    Attack(
        rule="schema-hook",
        sent="an emoji that the hook's table lacks",
        data=text('{"type":"react","number":1,"emoji":"unicorn"}'),
    ),
    Attack(rule="handler-error", sent="leave a room without being in it", data=text('{"type":"leave","room":"vault"}')),
)
