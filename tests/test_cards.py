"""What public calls return has a card for notebooks, or is listed here with the reason why it needs none."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tests.public_api import MODULES

ITEM = "comes in lists, mappings or iterators, which notebooks show as text"
VALUE = "a short value whose text says everything"
NAMESPACE = "has only methods, which the Tab key and help() list"
SECRET = "has a secret, which must not get into notebooks"
INTERNAL = "for programs, such as the server, and not for readers"

WITHOUT_CARD: Mapping[str, str] = {
    **dict.fromkeys(("Admin", "Atlas", "Catalog", "Datasets", "Search", "Volumes"), NAMESPACE),
    **dict.fromkeys(("CoordinateGrouping", "CrossedGrouping", "FieldGrouping", "NoGrouping", "RegionGrouping"), VALUE),
    **dict.fromkeys(("Grid", "SelectionGrouping", "Setting"), VALUE),
    **dict.fromkeys(("ExcludedExperiment", "ExperimentRecord", "Finding", "Member"), ITEM),
    **dict.fromkeys(("PermissionChange", "ReplacedUnionizes", "ReproducedCount", "Setting", "Snapshot"), ITEM),
    **dict.fromkeys(("AccessToken", "Criteria", "DatasetSummary", "OverlappingStructures", "StoredObject"), ITEM),
    **dict.fromkeys(("StructureRow", "StructureSetRow"), ITEM),
    **dict.fromkeys(("CatalogCopy", "StoreFiles", "StoredUnionizes", "UnionizeRows"), INTERNAL),
    "NewToken": SECRET,
}


def test_what_users_get_has_a_card_or_a_reason_to_have_none() -> None:
    found = dict(_returned())
    assert {"VolumeStack", "StaleReport", "Citation", "SelectionSummary"} <= {kind.__name__ for kind in found}
    without = {kind.__name__: call for kind, call in found.items() if not hasattr(kind, "_repr_html_")}
    missing = {name: call for name, call in without.items() if name not in WITHOUT_CARD}
    assert not missing, "give them a method _repr_html_ (bsv_store/html.py), or list them in WITHOUT_CARD"
    assert not WITHOUT_CARD.keys() - without.keys(), "these have a card, or are no longer returned"


def _returned() -> Iterator[tuple[type, str]]:
    """The classes that public functions, methods and properties return, and a call that does."""
    waiting: list[tuple[Any, str]] = []
    for name in MODULES:
        module = importlib.import_module(name)
        waiting += [(getattr(module, each), "") for each in getattr(module, "__all__", ())]
    seen: set[type] = set()
    while waiting:
        value, call = waiting.pop()
        if inspect.isclass(value):
            if value in seen or not value.__module__.startswith("bsv_store") or issubclass(value, Exception):
                continue
            seen.add(value)
            if call:
                yield value, call
            if WITHOUT_CARD.get(value.__name__) != INTERNAL:
                waiting += [(member, f"{value.__name__}.{name}") for name, member in _public_members(value)]
        elif inspect.isfunction(value):
            waiting += [(kind, call or value.__name__) for kind in _named_in(value)]


def _public_members(kind: type) -> Iterator[tuple[str, Any]]:
    for base in kind.__mro__:
        for name, member in vars(base).items() if base.__module__.startswith("bsv_store") else ():
            inner = (
                getattr(member, "__func__", None) or getattr(member, "fget", None) or getattr(member, "func", member)
            )
            if not name.startswith("_") and inspect.isfunction(inner):
                yield name, inner


def _named_in(function: Any) -> Iterator[type]:
    """The classes of the package in the annotation of the result, which may be imported for type checkers only."""
    origin = inspect.unwrap(function)
    for name in re.findall(r"\w+", str(inspect.get_annotations(origin).get("return"))):
        home = _homes(origin.__module__).get(name)
        kind = home and getattr(importlib.import_module(home), name, None)
        if inspect.isclass(kind):
            yield kind


@cache
def _homes(module: str) -> Mapping[str, str]:
    """The modules of the names that a module defines or imports from the package."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    found = {
        each.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bsv_store")
        for each in node.names
    }
    return found | {node.name: module for node in tree.body if isinstance(node, ast.ClassDef)}
