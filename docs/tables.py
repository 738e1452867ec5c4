"""Write docs/rules.md and docs/policy.md from the code: `make docs`. tests/meta checks that they are up to date."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from framewarden.policy import Access, Deflate, Limits, Policy, Schema
from framewarden.policy_units import DURATION, SIZE, Units
from framewarden.rules import RULES, Rule

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/tables.py (`make docs`): change the code, not this page. -->\n"

RULES_HEAD = """# Rules

Every judgement that framewarden can make. An `id` is stable for ever and never reused. A violation on a connection
names the rule, the close code, the position of the byte that broke it, and never a byte of the payload; before the
upgrade a refusal is an HTTP response with the status; before TLS is up the connection is closed without a word.

Severity: *attack*: no honest client sends this; *error*: a broken client does; *limit*: an honest client may run into
it, and the number is the operator's ([policy](policy.md)). Codes from 4000 on mirror the HTTP status codes;
`close_codes="rfc"` sends 1008 for each of them.
"""


def _units(kind: Units, example: str) -> str:
    *others, last = (f"`{name}`" for name in kind.factors)
    return f'`"{example}"`, with {", ".join(others)} or {last}'


POLICY_HEAD = """# Policy

Everything an operator decides, the same from Python (`Policy(limits=Limits(max_message_bytes=65536))`) and from TOML
(`load_policy("policy.toml")`: tables and keys are the fields below). Every default is the safe one: `Policy()` is the
hardened policy. The rule is what a peer breaks that goes beyond the field; [rules](rules.md) has its close code or
HTTP status. A value that no room could use, an unknown key and a contradiction are a `PolicyError` when the policy is
made.

In TOML numbers of bytes and seconds may be strings with a unit:

* bytes: SIZES. There is no `KB`: it means 1,000 to some and 1,024 to others.
* seconds: DURATIONS.

Types and callables are named `"package.module:Name"` and imported: a policy is code that you trust. An error is one
line with the file, the line and the key:

```text
policy.toml:3: limits.max_mesage_bytes is unknown here; did you mean max_message_bytes?
```
""".replace("SIZES", _units(SIZE, "64KiB")).replace("DURATIONS", _units(DURATION, "500ms"))

SECTIONS: dict[str, tuple[str, Callable[[Rule], bool]]] = {
    "On a connection": ("close code", lambda rule: rule.close_code is not None),
    "In the opening handshake": ("HTTP status", lambda rule: rule.status is not None),
    "Before the opening handshake": ("answer", lambda rule: rule.close_code is None and rule.status is None),
}


def rules_page() -> str:
    """docs/rules.md."""
    parts = [NOTE, RULES_HEAD]
    for title, (answer, belongs) in SECTIONS.items():
        rows = [_rule_row(rule) for rule in RULES.values() if belongs(rule)]
        parts.append(f"\n## {title}\n\n{_table(['rule', 'what is wrong', answer, 'severity', 'source'], rows)}")
    return "".join(parts)


def _rule_row(rule: Rule) -> list[str]:
    return [
        f"`{rule.id}`",
        rule.text,
        str(rule.close_code or rule.status or "none: closed"),
        rule.severity,
        rule.source,
    ]


def policy_page() -> str:
    """docs/policy.md."""
    parts = [NOTE, POLICY_HEAD]
    for struct, table in (
        (Policy, ""),
        (Limits, "limits"),
        (Deflate, "deflate"),
        (Schema, "schema"),
        (Access, "access"),
    ):
        parts.append(f"\n## {struct.__name__}\n\n")
        if table:
            parts.append(f"In TOML: `[{table}]`. ")
        parts.append(f"{_summary(struct)}\n\n")
        parts.append(_table(["field", "default", "unit", "meaning", "rule"], list(_field_rows(struct))))
    return "".join(parts)


def _field_rows(struct: type[msgspec.Struct]) -> Iterator[list[str]]:
    meanings = attributes(struct)
    for field in msgspec.structs.fields(struct):
        text = meanings[field.name]
        rules = re.findall(r"\[([a-z0-9-]+)\]", text)
        text = re.sub(r"\s*\[[a-z0-9-]+\]", "", text).replace("``", "`")
        text = re.sub(r":class:`(\w+)`", r"`\1`", text)
        links = ", ".join(f"`{rule}`" for rule in rules)
        yield [f"`{field.name}`", f"`{_default(field)}`", unit(field.name, field.default), text, links]


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()  # type: ignore[operator] # one of the two is set: every field has a default
    if isinstance(value, msgspec.Struct):
        return f"{type(value).__name__}()"
    if type(value) is int and value >= 1000:
        return f"{value:,}"
    return repr(value)


def unit(name: str, default: object) -> str:
    """What a number counts, by the field's name."""
    if type(default) not in (int, float) and name not in ("max_connections", "max_memory_bytes"):
        return ""
    for word, answer in (
        ("_bytes", "bytes"),
        ("_seconds", "seconds"),
        ("_rate", "bytes a second"),
        ("_ratio", "times"),
        ("_bits", "bits"),
        ("fragments", "frames"),
        ("_run", "frames"),
        ("_nodes", "values"),
        ("headers", "lines"),
        ("connections", "connections"),
        ("_per_address", "connections"),
        ("messages", "messages"),
    ):
        if name.endswith(word):
            return answer
    return ""


def _summary(struct: type[msgspec.Struct]) -> str:
    text = (inspect.getdoc(struct) or "").partition("Attributes:")[0]
    text = re.sub(r"; the rule that each one feeds in brackets", "", text).replace("``", "`")
    return " ".join(text.split())


def attributes(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What the Attributes section of the docstring says of each field."""
    section = (inspect.getdoc(struct) or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): ((?:.*\n?)(?:        .*\n?)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


PAGES = {"rules.md": rules_page, "policy.md": policy_page}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (HERE / page).write_text(write())
