"""HTML from nested calls. Text is escaped unless it is `Markup`, so nothing is escaped by hand."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from bsv_store.text import visible

# Elements without content.
_VOID = frozenset({"img", "input", "link", "meta", "source", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Markup | None | Iterable["Content"]


def element(tag: str, /, *content: Content, **attributes: str | int | bool | None) -> Markup:
    """An element with escaped content and attributes.

    Parameters
    ----------
    tag : str
        Name of the element.
    *content : str, Markup, None or iterables of these
        None is left out.
    **attributes : str, int, bool or None
        False and None are left out; True is an attribute without a value. A trailing underscore is removed, other
        underscores become hyphens: ``class_="wide"``, ``aria_label="Close"``.
    """
    listed = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{listed}>")
    return Markup(f"<{tag}{listed}>{joined(*content)}</{tag}>")


def joined(*content: Content) -> Markup:
    """Content one after the other, without an element around it."""
    return Markup("".join(_text(each) for each in content))


def _text(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return escape(visible(content))
    return "".join(_text(each) for each in content)


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(visible(str(value)))}"'
