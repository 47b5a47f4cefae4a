"""The page at /docs, drawn by its own script in a JavaScript engine, without a browser."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quickjs

DOM = Path(__file__).with_name("dom.js")


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the drawn page: its name, its attributes, and the elements and texts in it."""

    name: str
    attributes: dict[str, str]
    children: "list[Element | str]"
    is_hidden: bool

    def all(self, name: str | None = None) -> "Iterator[Element]":
        """Return every element of this name in this one, itself too."""
        if name in (None, self.name):
            yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.all(name)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


def draw(page: str, document: Any) -> dict[str, Element]:
    """Return the places of a page by id, after its script has drawn the document into them."""
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert script is not None
    ids = re.findall(r'\bid="([^"]+)"', page.replace(script[0], ""))
    context = quickjs.Context()
    context.eval(f"const IDS = {json.dumps(ids)}, DOCUMENT = {json.dumps(document)};")
    context.eval(DOM.read_text())
    quick = re.search(r'id="quick">(.*?)</code>', page, re.DOTALL)
    assert quick is not None
    context.eval(f'byId["quick"].textContent = {json.dumps(quick[1])};')
    context.eval(script[1])
    while context.execute_pending_job():
        pass
    drawn: dict[str, Any] = json.loads(context.eval("JSON.stringify(byId)"))
    return {place: _element(value) for place, value in drawn.items()}


def _element(value: dict[str, Any]) -> Element:
    children = [child if isinstance(child, str) else _element(child) for child in value["children"]]
    return Element(value["name"], value["attributes"], children, value["hidden"])
