"""The contract of /openapi.json, checked against every answer that a test receives.

The validator knows the part of JSON Schema that our documents use, and stops at anything else.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import httpx

HARDENING = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
OF_FILES = re.compile(r"/v1/files/.*|/v1/rooms/.*/content")
SILENT = {"description", "title", "default", "examples", "$defs"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


class Contract:
    """The document of a running server."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.problems = {row["slug"]: row for row in document["x-problems"]}
        # A fixed word is told from a parameter, as /v1/rooms/public from /v1/rooms/{room_id}.
        self._paths = sorted(document["paths"], key=lambda path: [part.startswith("{") for part in path.split("/")])

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Return every method, path and operation."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def path_of(self, url_path: str) -> str | None:
        """Return the documented path of an address."""
        for path in self._paths:
            if re.fullmatch(re.sub(r"\{(\w+)\}", self._segment, path), url_path):
                return str(path)
        return None

    @staticmethod
    def _segment(parameter: re.Match[str]) -> str:
        return "[0-9]+" if parameter[1].endswith("_id") else "[^/]+"

    def check(self, response: httpx.Response) -> None:
        """Fail unless an answer is one that its route documents."""
        request = response.request
        assert re.fullmatch("[0-9a-f]{16}", response.headers["x-request-id"])
        assert HARDENING.items() <= dict(response.headers).items()
        is_file = response.status_code in (200, 206, 304) and OF_FILES.fullmatch(request.url.path)
        assert response.headers["cache-control"].partition(",")[0] == ("private" if is_file else "no-store")
        is_problem = response.headers.get("content-type") == "application/problem+json"
        if is_problem and request.method != "HEAD":
            self._check_problem(response)
        path = self.path_of(request.url.path)
        if path is None:
            assert response.status_code in (404, 429)
            return
        methods = self.document["paths"][path]
        operation = methods.get("get" if request.method == "HEAD" else request.method.lower())
        if operation is None:
            assert response.status_code == 405
            allowed = {method.upper() for method in methods} | ({"HEAD"} if "get" in methods else set())
            assert set(response.headers["allow"].split(", ")) == allowed
            return
        assert str(response.status_code) in operation["responses"], f"{request} answers {response} {response.text}"
        self._check_body(response, self.resolve(operation["responses"][str(response.status_code)]))

    def _check_problem(self, response: httpx.Response) -> None:
        problem = response.json()
        known = self.problems[problem["type"].removeprefix("/docs#problem-")]
        assert (problem["status"], problem["title"]) == (known["status"], known["title"])
        assert problem["status"] == response.status_code
        assert problem["request_id"] == response.headers["x-request-id"]
        assert problem["detail"]
        assert problem.get("errors") != []
        if known["is_retryable"]:
            assert int(response.headers["retry-after"]) >= 1

    def _check_body(self, response: httpx.Response, documented: Mapping[str, Any]) -> None:
        content = documented.get("content")
        if content is None:
            assert response.content == b""
            assert response.headers.get("content-length") == ("0" if response.has_redirect_location else None)
            assert "content-type" not in response.headers
            return
        schema = (content.get(response.headers["content-type"]) or content["*/*"])["schema"]
        if response.request.method == "HEAD":
            assert response.content == b""
        elif "json" in response.headers["content-type"]:
            self.validate(response.json(), schema)

    def resolve(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a reference to where it leads."""
        reference = part.get("$ref")
        if reference is None:
            return part
        found: Any = self.document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return self.resolve(found)

    def validate(self, value: Any, schema: Mapping[str, Any], place: str = "$") -> None:
        """Raise AssertionError where a value is not as its schema says, or has fields that it does not name."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            assert any(self._is_valid(value, choice) for choice in schema["anyOf"]), f"{place}: {value!r}"
            return
        # The type first: every other keyword takes it for granted.
        for keyword, wanted in sorted(schema.items(), key=lambda item: item[0] != "type"):
            if keyword in SILENT or keyword in ("properties", "additionalProperties", "items"):
                continue
            assert _CHECKS[keyword](value, wanted), f"{place}: {value!r} against {keyword} {wanted!r}"
        if isinstance(value, dict) and "properties" in schema:
            assert value.keys() <= schema["properties"].keys(), f"{place}: undocumented fields"
            for name, field in value.items():
                self.validate(field, schema["properties"][name], f"{place}.{name}")
        elif isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
            for name, field in value.items():
                self.validate(field, schema["additionalProperties"], f"{place}.{name}")
        elif isinstance(value, list):
            for number, item in enumerate(value):
                self.validate(item, schema["items"], f"{place}[{number}]")

    def _is_valid(self, value: Any, schema: Mapping[str, Any]) -> bool:
        try:
            self.validate(value, schema)
        except AssertionError:
            return False
        return True


def _is_type(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and not (name in ("integer", "number") and isinstance(value, bool))


def _has_format(value: Any, name: str) -> bool:
    if name == "id":  # its pattern says it all
        return True
    assert name == "date-time"
    return value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None


_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "type": _is_type,
    "format": _has_format,
    "required": lambda value, names: set(names) <= value.keys(),
    "enum": lambda value, choices: value in choices,
    "pattern": lambda value, pattern: re.search(pattern, value) is not None,
    "minLength": lambda value, length: len(value) >= length,
    "maxLength": lambda value, length: len(value) <= length,
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "minItems": lambda value, length: len(value) >= length,
    "maxItems": lambda value, length: len(value) <= length,
}
