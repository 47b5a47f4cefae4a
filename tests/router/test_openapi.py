"""The documents: /openapi.json is sound OpenAPI 3.1 and says what the server does; /docs can be read by itself.

Every other test of this folder holds each answer against the document, too (tests/router/contract.py).
"""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from router import openapi, problems
from router.errors import RouterError
from router.schemas.fields import Nothing
from tests.router.clients import Client
from tests.router.contract import Contract
from tests.router.drawing import Element, draw
from tests.router.route_table import declared


@pytest.fixture(scope="module")
def document(nobody: Client) -> Any:
    return nobody.get("/openapi.json")


def parts(value: Any) -> Any:
    """Return every object inside a document, itself too."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from parts(part)
    elif isinstance(value, list):
        for part in value:
            yield from parts(part)


def test_it_is_openapi(document: Any) -> None:
    """The document has what OpenAPI 3.1 asks for, and names its server relatively, behind whatever proxy."""
    assert document["openapi"] == "3.1.0"
    assert {"title", "version", "description"} <= document["info"].keys()
    assert document["servers"] == [{"url": "/"}]


def test_every_reference_leads_somewhere(document: Any) -> None:
    """Each $ref is answered by its place in the document, and nothing that can be referred to is left over."""
    contract = Contract(document)
    references = {part["$ref"] for part in parts(document) if "$ref" in part}
    for reference in references:
        assert contract.resolve({"$ref": reference})
    for kind in ("schemas", "headers"):
        assert {f"#/components/{kind}/{name}" for name in document["components"][kind]} <= references


def test_every_operation_is_complete(nobody: Client, document: Any) -> None:
    """Each has its own id, a tag that is explained, a summary, a description, and all parameters of its path."""
    operations = list(nobody.contract.operations())
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in document["tags"]}
    for method, path, operation in operations:
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags, f"{method} {path}: describe its tag in openapi.TAGS"
        declared = [(field["name"], field["in"]) for field in operation["parameters"]]
        assert len(set(declared)) == len(declared)
        assert [name for name, place in declared if place == "path"] == re.findall(r"\{(\w+)\}", path)
        assert any(status.startswith("2") for status in operation["responses"])
        for scheme in operation.get("security", []):
            assert scheme.keys() <= document["components"]["securitySchemes"].keys()


def test_every_example_is_a_body_that_its_route_reads(document: Any) -> None:
    """Each JSON body has an example that is right by its documented schema, and that the server itself accepts."""
    contract = Contract(document)
    takers = [route for route in declared() if route.takes is not Nothing]
    assert len(takers) > 50
    for route in takers:
        content = document["paths"][route.path][route.method.lower()]["requestBody"]["content"]["application/json"]
        contract.validate(content["example"], content["schema"], route.path)
        assert content["example"], f"{route.method} {route.path}"
        route.takes.model_validate_json(json.dumps(content["example"]), strict=True)


def test_a_message_is_sent_with_its_content(document: Any) -> None:
    """The example of a body without required fields shows what it is mostly sent for."""
    operation = document["paths"]["/v1/rooms/{room_id}/channels/{channel_id}/messages"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["example"] == {"content": "Hello, rooks!"}


def test_every_path_can_be_reached(document: Any) -> None:
    """No two paths are the same but for the names of their parameters."""
    shapes = [re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]]
    assert len(set(shapes)) == len(shapes)


def test_every_schema_uses_what_the_contract_checks(document: Any) -> None:
    """Schemas have no keyword that our own check would not know, and every field that is required is described."""
    contract = Contract(document)
    for name, schema in document["components"]["schemas"].items():
        assert set(schema.get("required", [])) <= schema["properties"].keys(), name
        for part in parts(schema):
            re.compile(part.get("pattern", ""))
        with pytest.raises(AssertionError):
            contract.validate(object(), schema)


def test_the_contract_catches_lies(document: Any) -> None:
    """The check by which all answers are held against the document fails for fields that are wrong, missing or new."""
    contract = Contract(document)
    schema = {"$ref": "#/components/schemas/UserView"}
    user = {
        "id": "5", "username": "anna", "display_name": "Anna", "avatar_url": None, "is_bot": False, "is_deleted": False,
    }  # fmt: skip
    contract.validate(user, schema)
    lies: list[dict[str, Any]] = [
        {**user, "id": 5}, {**user, "is_bot": 0}, {**user, "avatar_url": 5}, {**user, "extra": 1},
        {name: value for name, value in user.items() if name != "username"},
    ]  # fmt: skip
    for lie in lies:
        with pytest.raises(AssertionError):
            contract.validate(lie, schema)


def test_every_problem_is_listed_once(document: Any) -> None:
    """Each slug has one status and one title, whoever raises it, and a sentence about what to do."""
    listed = {row["slug"]: row for row in document["x-problems"]}
    assert len(listed) == len(document["x-problems"])
    kinds = [(kind.slug, kind.status, kind.title) for kind in RouterError.__subclasses__()]
    kinds += [(meaning.slug, meaning.status, meaning.title) for _, meaning in problems.MEANINGS]
    for slug, status, title in kinds:
        assert (listed[slug]["status"], listed[slug]["title"]) == (status, title)
    assert {slug for slug, _, _ in kinds} | {problems.UNEXPECTED.slug} == listed.keys()
    assert all(row["description"].endswith(".") for row in listed.values())


def test_every_kind_of_error_is_found_by_its_subclass() -> None:
    """A special error stands before its general one in the table, which is read from the top."""
    kinds = [kind for kind, _ in problems.MEANINGS]
    for number, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[number + 1 :]), kind


def test_every_schema_says_what_it_is(document: Any) -> None:
    """Every model that clients meet has a sentence about itself."""
    assert [name for name, schema in document["components"]["schemas"].items() if not schema.get("description")] == []
    assert openapi.TAGS.keys() == {tag["name"] for tag in document["tags"]}


class Page(HTMLParser):
    """What a page loads from elsewhere, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.linked: list[str] = []
        self.has_fallback = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.loaded += [values[name] for name in ("src", "srcset", "data") if name in values]
        self.linked += [values["href"]] if "href" in values else []
        self.loaded += [values["href"]] if tag == "link" and not values["href"].startswith("data:") else []
        self.ids += [values["id"]] if "id" in values else []
        self.has_fallback |= tag == "noscript"


def test_the_page_stands_alone(nobody: Client) -> None:
    """The page loads nothing but the document, says so without JavaScript, and its links lead somewhere."""
    response = nobody.ask("GET", "/docs")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    page = Page()
    page.feed(response.text)
    assert page.loaded == []
    assert page.has_fallback
    assert len(set(page.ids)) == len(page.ids)
    assert {link for link in page.linked if link.startswith("#")} <= {f"#{name}" for name in page.ids}
    assert not re.search(r"https?://(?!127\.0\.0\.1|localhost)", response.text)
    assert "innerHTML" not in response.text


@pytest.fixture(scope="module")
def drawn(nobody: Client, document: Any) -> dict[str, Element]:
    return draw(nobody.ask("GET", "/docs").text, document)


def test_the_page_draws_every_operation(drawn: dict[str, Element], document: Any) -> None:
    """Every operation of the document has its article and its link in the contents, and nothing of it is missing."""
    operations = {
        operation["operationId"]: operation for methods in document["paths"].values() for operation in methods.values()
    }
    articles = {article.attributes["id"]: article for article in drawn["routes"].all("article")}
    assert sorted(article.attributes["id"] for article in drawn["routes"].all("article")) == sorted(operations)
    assert sorted(link.attributes["href"] for link in drawn["index"].all("a")) == sorted(
        f"#{name}" for name in articles
    )
    for name, operation in operations.items():
        text = articles[name].text
        assert operation["summary"] in text
        assert not re.search(r"undefined|\[object|NaN|null,null", text), name
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            shown = (
                json.dumps(content["example"], separators=(",", ":"), ensure_ascii=False)
                if "example" in content
                else media
            )
            assert shown in text, name
    assert drawn["failure"].text == ""
    assert len(list(drawn["kinds"].all("tr"))) == len(document["x-problems"])


def test_every_link_of_the_page_leads_somewhere(nobody: Client, drawn: dict[str, Element], document: Any) -> None:
    """Every link of the drawn page leads to a place of the page, or to an address that is served."""
    page = Page()
    page.feed(nobody.ask("GET", "/docs").text)
    places = {
        *page.ids,
        *(one.attributes["id"] for root in drawn.values() for one in root.all() if "id" in one.attributes),
    }
    links = {*page.linked, *(link.attributes["href"] for root in drawn.values() for link in root.all("a"))}
    assert len(links) > len(document["paths"])
    assert {link for link in links if link.startswith("#")} <= {f"#{place}" for place in places}
    for link in links:
        if not link.startswith("#"):
            assert nobody.ask("GET", link).status_code == 200, link


def test_links_in_descriptions_lead_somewhere(document: Any) -> None:
    """A description names only routes that are served, and no place outside of the page."""
    texts = [
        part[key] for part in parts(document) for key in ("description", "summary") if isinstance(part.get(key), str)
    ]
    paths = {
        path.partition("?")[0]
        for text in texts
        for path in re.findall(r"(?:GET|POST|PUT|PATCH|DELETE) (/[^\s`,;)]+)", text)
    }
    assert {path.rstrip(".") for path in paths} <= document["paths"].keys()
    assert [text for text in texts if re.search(r"\]\(|https?://|\.md\b", text)] == []
