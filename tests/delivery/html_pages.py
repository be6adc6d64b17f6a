"""Read a page back: its elements, texts and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "img", "input", "hr", "path", "use", "rect"})


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Return the elements of a tag in here, in the page's order."""
        return [one for child in self.children for one in ([child] if child.tag == tag else []) + child.all(tag)]

    @property
    def content(self) -> str:
        """All text in here."""
        return self.text + "".join(child.content for child in self.children)


class Page(HTMLParser):
    """A page as a tree; an element that is closed twice, or by another's end, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        assert self._open == [self.root], f"not closed: {[one.tag for one in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        assert len(element.attributes) == len(attrs), f"{tag} has an attribute twice"
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self._open[-1].tag == tag, f"{tag} ends within {self._open[-1].tag}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(Element("#text", {}, text=data))

    def elements(self) -> list[Element]:
        def below(element: Element) -> list[Element]:
            return [one for child in element.children for one in [child, *below(child)]]

        return below(self.root)

    def table(self, caption: str) -> list[list[str]]:
        """Return the body and foot of the table with this caption as texts."""
        found = next(one for one in self.root.all("table") if one.all("caption")[0].content == caption)
        return [
            [cell.content.strip() for cell in row.children if cell.tag in {"th", "td"}]
            for part in ("tbody", "tfoot")
            for body in found.all(part)
            for row in body.all("tr")
        ]
