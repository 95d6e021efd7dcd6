"""
What differs between two answers, and which differences are meant.

An answer has *aspects*: `status`, `type` (the content type), `body`, `order` (of the keys in a body
that is the same otherwise), and `header:<name>` for every header that is neither volatile nor one
of these. Bodies are compared as values, with everything masked that changes from run to run.
"""

import fnmatch
import html
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from saltapi.check.against.request import Request
from saltapi.check.against.wire import Answer
from saltapi.formats import OUTPUT_TYPES, quality

HERE = Path(__file__).parent
IGNORED_HEADERS = {"date", "server", "content-length", "connection", "content-type", "keep-alive"}

MASKS = [
    (re.compile(r"\b20\d{18}\b"), "<jid>"),
    (re.compile(r"\b[0-9a-f]{40,128}\b"), "<token>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(\+00:00)?"), "<time>"),
    (re.compile(r"\b\d{4}, \w{3} \d\d \d\d:\d\d:\d\d\.\d+"), "<time>"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<date>"),
    (re.compile(r"\b(made|sized|token|wrong|session)-(salt|ours|asgi)\b"), r"\1-<side>"),
    (re.compile(r"Max-Age=\d+"), "Max-Age=<seconds>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<request id>"),
]
"""What changes from run to run or from server to server, and what stands for it here."""

JID = re.compile(r"20\d{18}")
MINION = re.compile(r"minion-\d|(made|sized|token|wrong|session)-<side>|ghost")
"""Keys that come in the order in which the minions answered."""

PARAGRAPH = re.compile(rb"<p>(.*?)</p>", re.DOTALL)


def mask(value: Any) -> Any:
    """Return *value* with everything masked that changes from run to run."""
    if isinstance(value, str):
        for pattern, replacement in MASKS:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, list):
        return _mask_list(value)
    if isinstance(value, dict):
        return _mask_mapping(value)
    return value


def _mask_mapping(value: Mapping[Any, Any]) -> dict[Any, Any]:
    if value and all(JID.fullmatch(str(key)) for key in value):
        return {"<jid>": sorted({str(list(job)) for job in value.values()})}  # all that has run
    if any(str(key).startswith("Cheroot HTTPServer") for key in value):
        return {"<statistics>": isinstance(value.get("CherryPy Applications"), dict)}
    items = {mask(key): mask(item) for key, item in value.items()}
    if "start" in items and "expire" in items:
        items["expire"] = f"start + {round(value['expire'] - value['start'])} s"
        items["start"] = "<time>"
    if "ts" in items:
        items["ts"] = "<time>"
    if isinstance(items.get("minions"), list):
        items["minions"] = sorted(items["minions"], key=str)
    if all(isinstance(key, str) and MINION.fullmatch(key) for key in items):
        return dict(sorted(items.items()))
    return items


def _mask_list(value: list[Any]) -> list[Any]:
    items = [mask(item) for item in value]
    if all(isinstance(item, dict) and _minion_of(item) for item in items):
        items.sort(key=_minion_of)  # a batch: in the order in which the minions answered
    return items


def _minion_of(item: Mapping[str, Any]) -> str:
    """Return the minion whose return *item* is, in the answer of local_batch; "" of others."""
    if item.keys() == {"tag", "data"} and "id" in item["data"]:
        return str(item["data"]["id"])
    only = next(iter(item), "") if len(item) == 1 else ""
    return only if MINION.fullmatch(only) else ""


def body_of(answer: Answer) -> Any:
    """Return what an answer's body says, masked; of an error page the sentence on it."""
    if answer.media_type == "text/html":
        found = PARAGRAPH.search(answer.body)
        text = found[1] if found else answer.body
        return {"page": mask(html.unescape(text.decode(errors="replace")))}
    if answer.media_type == "application/x-tar":
        return _members(answer.body)
    if not answer.body:
        return ""
    try:
        return mask(answer.value())
    except (UnicodeDecodeError, ValueError):
        return {"bytes": answer.body.hex()}


def _members(archive: bytes) -> Any:
    """Return the names, modes and first lines of the files in a tar archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            return [
                [member.name, oct(member.mode), _first_line(tar, member)]
                for member in tar.getmembers()
            ]
    except tarfile.TarError:
        return {"bytes": archive.hex()}


def _first_line(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.readline().decode() if file else ""


def aspects_of(answer: Answer) -> dict[str, Any]:
    """Return the aspects of an answer, masked."""
    found: dict[str, Any] = {
        "status": answer.status,
        "type": answer.header("Content-Type"),
        "body": body_of(answer),
    }
    for name in {name.lower() for name, _ in answer.headers} - IGNORED_HEADERS:
        found[f"header:{name}"] = mask(answer.header(name))
    return found


def differences(salts: Answer, ours: Answer) -> dict[str, tuple[Any, Any]]:
    """Return the aspects that differ: name -> (Salt's, ours)."""
    theirs, mine = aspects_of(salts), aspects_of(ours)
    found = {
        name: (theirs.get(name), mine.get(name))
        for name in sorted(theirs.keys() | mine.keys())
        if theirs.get(name) != mine.get(name)
    }
    if "body" not in found and json.dumps(theirs["body"]) != json.dumps(mine["body"]):
        found["order"] = (theirs["body"], mine["body"])
    return found


@dataclass
class Expected:
    """
    A difference that is meant; one entry of `expected.yaml`.

    Attributes:
        id: The line in `docs/compatibility.md` that gives the reason.
        request: Matches the names of the requests that it is about.
        salt_status: The statuses of Salt's answers that it is about; all if empty.
        salt_body: Is found in Salt's masked body, written as JSON.
        our_status: Matches the statuses of our answers that it is about.
        covers: The aspects that may differ, as shell patterns.
        ours: What our answer must be: `status` (a pattern), `headers` (name to pattern, or to null
            for a header that must not be there) and `body`: `error`, or a pattern that is found in
            the body, masked and written as JSON.
    """

    id: str
    request: re.Pattern[str]
    salt_status: list[int]
    salt_body: re.Pattern[str]
    our_status: re.Pattern[str]
    covers: list[str]
    ours: dict[str, Any]
    used: set[str] = field(default_factory=set)

    def applies(self, request: Request, salts: Answer, ours: Answer) -> bool:
        """Tell whether it is about this request and these answers to it."""
        return bool(
            self.request.search(request.name)
            and (not self.salt_status or salts.status in self.salt_status)
            and self.our_status.search(str(ours.status))
            and (
                not self.salt_body.pattern
                or self.salt_body.search(json.dumps(body_of(salts), ensure_ascii=False))
            )
        )

    def covers_aspect(self, aspect: str) -> bool:
        """Tell whether *aspect* may differ."""
        return any(fnmatch.fnmatch(aspect, pattern) for pattern in self.covers)

    def problems(self, request: Request, ours: Answer) -> list[str]:
        """Return what is wrong with our answer, whose right form is written down here."""
        found = []
        status = self.ours.get("status")
        if status is not None and not re.fullmatch(str(status), str(ours.status)):
            found.append(f"{self.id}: status {ours.status} instead of {status}")
        for name, pattern in self.ours.get("headers", {}).items():
            value = ours.header(name)
            if value is None or pattern is None:
                if value is not pattern:
                    found.append(f"{self.id}: {name} is {value!r}")
            elif not re.fullmatch(pattern, value):
                found.append(f"{self.id}: {name} is {value!r}, not {pattern!r}")
        body = self.ours.get("body")
        if body == "error":
            problem = error_problem(request, ours)
            if problem:
                found.append(f"{self.id}: {problem}")
        elif body is not None:
            text = json.dumps(body_of(ours), ensure_ascii=False)
            if not re.search(body, text):
                found.append(f"{self.id}: the body is {text[:300]}, not {body!r}")
        return found


def error_problem(request: Request, ours: Answer) -> str | None:
    """Return what keeps *ours* from being an error in the format that the client accepts."""
    if ours.status < 400:
        return f"{ours.status} is no error"
    if request.method == "HEAD":
        return None if ours.body == b"" else "HEAD has a body"
    accept = next((value for name, value in request.headers if name == "Accept"), "") or "*/*"
    ranked = {name: quality(accept, name) for name in (*OUTPUT_TYPES, "text/html")}
    if ours.media_type not in ranked:
        return f"an error is {ours.media_type!r}"
    if 0 < max(ranked.values()) != ranked[ours.media_type]:
        return f"an error is {ours.media_type} for {accept!r}"
    if ours.media_type == "text/html":
        return None
    value = ours.value()
    if not (
        isinstance(value, dict)
        and value.get("status") == ours.status
        and isinstance(value.get("return"), str)
        and value["return"]
    ):
        return f"the body of an error is {value!r}"
    return None


def expected_differences(path: Path = HERE / "expected.yaml") -> list[Expected]:
    """Return the differences from the installed Salt that are meant, in the order of the file."""
    from saltapi.bridge.salt_line import SALT_LINE  # `saltapi check -h` needs no Salt

    return [
        Expected(
            id=entry["id"],
            request=re.compile(entry.get("request", "")),
            salt_status=entry.get("salt_status", []),
            salt_body=re.compile(entry.get("salt_body", "")),
            our_status=re.compile(entry.get("our_status", "")),
            covers=entry["covers"],
            ours=entry.get("ours", {}),
        )
        for entry in yaml.safe_load(path.read_text())
        if SALT_LINE in entry.get("salt", (SALT_LINE,))
    ]


def unexpected(
    request: Request, salts: Answer, ours: Answer, expected: Iterable[Expected]
) -> list[str]:
    """
    Return what is wrong with *ours*, a line for each aspect.

    Every aspect that differs must be covered by an entry that applies, and our answer must be what
    each entry that is needed says.
    """
    differing = differences(salts, ours)
    applying = [entry for entry in expected if entry.applies(request, salts, ours)]
    problems: list[str] = []
    needed: list[Expected] = []
    for aspect, (theirs, mine) in differing.items():
        entry = next((entry for entry in applying if entry.covers_aspect(aspect)), None)
        if entry is None:
            problems.append(f"{aspect}: Salt {_short(theirs)} / ours {_short(mine)}")
            continue
        entry.used.add(request.name)
        if entry not in needed:
            needed.append(entry)
    for entry in needed:
        problems.extend(entry.problems(request, ours))
    return problems + wire_problems(request, ours)


def problems(
    module: str, request: Request, salts: Answer, ours: Answer, expected: Iterable[Expected]
) -> list[str]:
    """Same as `unexpected`, with what only one of the modules does: `module` is its name."""
    found = unexpected(request, salts, ours, expected)
    if module != "rest_tornado":
        return found
    found = [line for line in found if not line.startswith("the YAML is not")]
    if lost_returns(body_of(salts), body_of(ours)):
        found = [line for line in found if not line.startswith("body: ")]
    if ours.body and ours.media_type == "application/x-yaml":
        written = yaml.safe_dump(ours.value(), default_flow_style=None, allow_unicode=True)
        if written.encode() != ours.body:
            found.append(f"the YAML is not as Salt writes it: {ours.body[:200]!r}")
    return found


def lost_returns(salts: Any, ours: Any) -> bool:
    """Tell whether Salt's answer is ours without some minions (`lost-returns`)."""
    lists: list[Any] = [
        body.get("return") if isinstance(body, dict) else None for body in (salts, ours)
    ]
    if not all(isinstance(results, list) for results in lists) or len(lists[0]) != len(lists[1]):
        return False
    return all(
        theirs == mine
        or (isinstance(theirs, dict) and isinstance(mine, dict) and theirs.items() <= mine.items())
        for theirs, mine in zip(*lists, strict=True)
    )


def wire_problems(request: Request, ours: Answer) -> list[str]:
    """Return what is wrong with the bytes of our answer, whatever Salt answers."""
    problems = []
    length = ours.header("Content-Length")
    if length is not None and request.method != "HEAD" and int(length) != len(ours.body):
        problems.append(f"Content-Length is {length}, the body has {len(ours.body)} bytes")
    if ours.body and ours.media_type == "application/json":
        written = json.dumps(ours.value(), ensure_ascii=False).encode()
        if written != ours.body:
            problems.append(f"the JSON is not as Salt writes it: {ours.body[:200]!r}")
    if ours.body and ours.media_type == "application/x-yaml":
        value = ours.value()
        written = yaml.safe_dump(value, default_flow_style=False, allow_unicode=True).encode()
        if written != ours.body:
            problems.append(f"the YAML is not as Salt writes it: {ours.body[:200]!r}")
    return problems


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else text[:300] + "…"
