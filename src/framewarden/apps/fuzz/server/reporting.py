"""The report of a campaign, and the files that show what was found."""

import re
import shlex
from pathlib import Path

import msgspec

from framewarden.apps.cases.case import Case
from framewarden.apps.fuzz.server.campaign import Campaign
from framewarden.apps.fuzz.server.findings import Entry, Finding, Key, Report
from framewarden.apps.fuzz.server.trial import as_case, case_file

__all__ = ["make_report"]


def make_report(campaign: Campaign, uri: str, out: Path, *, policy: str = "", own_host: str | None = None) -> Report:
    """Write the cases of all findings, and make the report.

    Args:
        campaign: has run.
        uri: of the server, as it was given.
        out: directory for the cases; it is made if there is a finding.
        policy: file with the policy, "" for the default.
        own_host: what ``--i-own-this-host`` said.

    Raises:
        OSError: a file cannot be written.
    """
    where = shlex.join(["--server", uri, *([] if own_host is None else ["--i-own-this-host", own_host])])
    pid = "" if campaign.target.pid is None else f" --pid {campaign.target.pid}"
    findings = [
        _finding(key, entry, out, where + (pid if key[0] == "memory" else ""))
        for key, entry in campaign.findings.sorted()
    ]
    skipped = campaign.sender.skipped
    return Report(
        server=uri,
        seed=campaign.settings.seed,
        policy=policy,
        deflate=campaign.maker.deflate is not None,
        trials=campaign.sender.trials,
        compared=campaign.sender.trials - skipped.total(),
        not_compared=dict(skipped.most_common()),
        seconds=round(campaign.seconds, 1),
        ended=campaign.ended,
        grown=campaign.watch.grown,
        findings=tuple(each for each in findings if each.kind != "limit differs"),
        limits=tuple(each for each in findings if each.kind == "limit differs"),
    )


def _finding(key: Key, entry: Entry, out: Path, where: str) -> Finding:
    kind, expected, seen = key
    name = file_name(key)
    comment = f"{kind}: expected {expected}, seen: {seen}"
    if entry.case is None:
        case = as_case(entry.trial, name, comment, short=True)
    else:
        case = msgspec.structs.replace(entry.case, id=name, comment=comment)
    file = write_case(out, case)
    suspects = [
        write_case(out, as_case(trial, f"{name}-suspect-{index}", comment, short=True))
        for index, trial in enumerate(entry.suspects, 2)
    ]
    return Finding(
        kind=kind,
        expected=expected,
        seen=seen,
        count=entry.count,
        bytes=len(entry.trial.verdict.data),
        number=entry.number,
        confirmed=entry.confirmed,
        detail=entry.detail or ("" if file else "its input is too long for a case file"),
        file=file,
        suspects=tuple(each for each in suspects if each is not None),
        command=file and f"framewarden fuzz reproduce {shlex.quote(file)} {where}",
    )


def file_name(key: Key) -> str:
    """Of a finding's case, without the suffix: letters, digits and hyphens."""
    kind, expected, seen = key
    return re.sub(r"[^a-z0-9]+", "-", f"{kind} {seen} not {expected}".lower()).strip("-")


def write_case(directory: Path, case: Case) -> str | None:
    """Write a case into a directory, which is made if it is not there. Returns the file; None: it would be too long.

    Raises:
        OSError: it cannot be written.
    """
    data = case_file(case)
    if data is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{case.id}.json"
    file.write_bytes(data)
    return str(file)
