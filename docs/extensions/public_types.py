"""The directive ``public-types``: every class of bsv_store that a public signature names, found from the signatures."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import bsv_store
from bsv_store import compat
from bsv_store.store import doctor, opening, restoring, schema_changes
from bsv_store.store.store import Store


class PublicTypes(SphinxDirective):
    """``autoclass`` for each class, by name."""

    def run(self) -> list[nodes.Node]:
        """Parse the generated text in place of the directive."""
        found = find_types(self.config.bsv_internal)
        return self.parse_text_to_nodes(
            "\n".join(f".. autoclass:: {each.__module__}.{each.__name__}" for each in found)
        )


def find_types(internal: Collection[str]) -> list[type]:
    """The classes in public signatures, and in the signatures of these classes, except those with pages already."""
    public = [getattr(bsv_store, name) for name in bsv_store.__all__ if not name.startswith("_")]
    public += [getattr(compat, name) for name in compat.__all__]
    public += namespaces()
    public += administration()
    seen: set[type] = set()
    waiting: list[Any] = list(public)
    while waiting:
        for mentioned in _mentioned(waiting.pop()):
            is_ours = mentioned.__module__.startswith("bsv_store.") and mentioned.__name__ not in internal
            if is_ours and mentioned not in seen and mentioned not in public:
                seen.add(mentioned)
                waiting.append(mentioned)
    return sorted(seen, key=lambda each: each.__name__)


def namespaces() -> list[type]:
    """The classes of `Store.catalog`, `Store.search` and so on."""
    return [
        typing.get_type_hints(member.func)["return"]
        for member in vars(Store).values()
        if isinstance(member, cached_property)
    ]


def administration() -> list[Any]:
    """The public functions for stores that cannot be opened, and their administration."""
    modules = (doctor, opening, restoring, schema_changes)
    return [
        member
        for module in modules
        for name, member in vars(module).items()
        if inspect.isfunction(member) and member.__module__ == module.__name__ and not name.startswith("_")
    ]


def _mentioned(thing: Any) -> Iterator[type]:
    if not inspect.isclass(thing):
        # A constant, such as `NO_PROGRESS`, has none.
        if callable(thing):
            yield from _in_signature(thing)
        return
    for owner in thing.__mro__:
        if not owner.__module__.startswith("bsv_store."):
            continue
        yield owner
        for name, member in vars(owner).items():
            if name.startswith("_"):
                continue
            member = next(
                (getattr(member, part) for part in ("fget", "func", "__func__") if hasattr(member, part)), member
            )
            if inspect.isfunction(member):
                yield from _in_signature(member)
        if hasattr(owner, "__dataclass_fields__"):
            yield from _in_signature(owner)


def _in_signature(thing: Any) -> Iterator[type]:
    for hint in typing.get_type_hints(thing).values():
        yield from _in_hint(hint)


def _in_hint(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
        yield hint
    for argument in typing.get_args(hint):
        if not isinstance(argument, str):
            yield from _in_hint(argument)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; `annotations` imports the types that it looks for."""
    app.setup_extension("annotations")
    app.add_directive("public-types", PublicTypes)
    return {"parallel_read_safe": True}
