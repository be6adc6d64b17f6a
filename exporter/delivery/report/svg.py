"""Turn matplotlib's SVG into a picture that lives inside a page under a strict Content-Security-Policy.

What the policy forbids is rewritten: `style` attributes and elements become presentation attributes, which are no
styles to the policy. What would clash in a page is renamed: every id gets the picture's own prefix. Colours become the
page's variables, so that a picture follows the page into dark mode and onto paper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from markupsafe import Markup

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_DROPPED = frozenset({f"{_SVG}metadata", f"{_SVG}style"})
_LONG = re.compile(r"-?\d+\.\d{3,}")
_GROUP = re.compile(r"[a-zA-Z0-9.]+_\d+")
"""Names of groups, which nothing refers to."""
_LINK = re.compile(r"url\(#(\w+)\)")


def inlined(text: str, *, name: str, title: str, description: str, colours: Mapping[str, str]) -> Markup:
    """Return the picture as an element of a page, with a title and a description for those who can't see it.

    `name` is unique in the page; `colours` maps matplotlib's `#rrggbb` to the page's variables.
    """
    root = ET.fromstring(text[text.index("<svg") :])  # noqa: S314  # matplotlib wrote it
    box = root.attrib["viewBox"]
    _clean(root, name, colours)
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-labelledby": f"{name}-title {name}-desc"})
    for tag, content in (("desc", description), ("title", title)):
        element = ET.Element(tag, {"id": f"{name}-{tag}"})
        element.text = content
        root.insert(0, element)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  # ElementTree escaped it


def _clean(element: ET.Element, name: str, colours: Mapping[str, str]) -> None:
    for child in list(element):
        if child.tag in _DROPPED:
            element.remove(child)
        else:
            _clean(child, name, colours)
    element.tag = element.tag.removeprefix(_SVG)
    given = dict(element.attrib)
    declarations = (one.partition(":") for one in given.pop("style", "").split(";"))
    given |= {key.strip(): value.strip() for key, _, value in declarations if value}
    element.attrib.clear()
    for key, value in given.items():
        if key == _HREF:
            element.set("href", f"#{name}-{value.removeprefix('#')}")
        elif key == "id":
            if not _GROUP.fullmatch(value):
                element.set("id", f"{name}-{value}")
        elif key != "font-family":  # the page's own
            element.set(key, _value(value, name, colours))
    if element.tag != "text":
        element.text = None
    element.tail = None


def _value(value: str, name: str, colours: Mapping[str, str]) -> str:
    linked = _LINK.sub(rf"url(#{name}-\1)", " ".join(value.split()))
    return colours.get(linked) or _LONG.sub(lambda found: f"{float(found[0]):.5g}", linked)
