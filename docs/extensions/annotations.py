"""Resolve type annotations and references by short names, so that signatures and docstrings have links."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import bsv_store
from bsv_store import vocabulary


def literal_names() -> dict[str, Any]:
    """The Literal types of `bsv_store.vocabulary` by name."""
    return {name: value for name, value in vars(vocabulary).items() if get_origin(value) is Literal}


def _literals() -> Iterator[tuple[re.Pattern[str], str]]:
    for name, value in literal_names().items():
        written = f"Literal[{', '.join(map(repr, get_args(value)))}]"
        yield re.compile(rf"~?typing\.{re.escape(written)}"), f"~{vocabulary.__name__}.{name}"


# The text of each type in Sphinx signatures, and the name that links to its rows.
_LITERALS = dict(_literals())


def import_types(app: Sphinx, config: Config) -> None:
    """Import what the modules of bsv_store import for type checking only, so that annotations can be evaluated."""
    for found in pkgutil.walk_packages(bsv_store.__path__, "bsv_store."):
        # The folders of Alembic in a wheel hold scripts, which are not imported by name.
        if "._" in found.name:
            continue
        module = importlib.import_module(found.name)
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                exec(compile(ast.Module(node.body, []), found.name, "exec"), vars(module))


def short_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Name the Literal types in a signature; drop it for classes that only the library constructs."""
    if _is_only_returned(app, thing):
        return "", None
    if callable(thing):
        app.env.bsv_parameters = {*getattr(app.env, "bsv_parameters", ()), *inspect.signature(thing).parameters}
    # Not an expression, so that Sphinx could not parse the rest.
    signature = signature and signature.replace("<factory>", "...")
    for literal, full_name in _LITERALS.items():
        signature = signature and literal.sub(full_name, signature)
        returned = returned and literal.sub(full_name, returned)
    return signature, returned


def drop_parameters(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Remove the section Parameters from the docstrings of classes that only the library constructs."""
    if "Parameters" in lines and _is_only_returned(app, thing):
        start = lines.index("Parameters")
        end = next((row - 1 for row in range(start + 2, len(lines)) if re.fullmatch("-{3,}", lines[row])), len(lines))
        del lines[start:end]


def _is_only_returned(app: Sphinx, thing: Any) -> bool:
    if not inspect.isclass(thing) or issubclass(thing, Exception):
        return False
    return not is_dataclass(thing) or bool(app.config.bsv_internal.intersection(_field_types(thing)))


def _field_types(thing: Any) -> set[str]:
    return {str(field.type).rpartition(".")[2] for field in vars(thing).get("__dataclass_fields__", {}).values()}


def resolve_short_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """A link for a name such as `InputError` or `Store.select`, if exactly one documented object ends with it."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    objects = env.domains.python_domain.objects
    found = {(each.docname, each.node_id) for name, each in objects.items() if name.endswith(f".{target}")}
    if len(found) != 1:
        # Parameters are in single backquotes too, as in numpydoc.
        return content if target in getattr(env, "bsv_parameters", ()) else None
    ((page, anchor),) = found
    return make_refnode(app.builder, node["refdoc"], page, anchor, [content], target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("bsv_internal", frozenset(), "env", frozenset)
    app.connect("config-inited", import_types)
    app.connect("autodoc-process-signature", short_signature)
    # Before numpydoc.
    app.connect("autodoc-process-docstring", drop_parameters, priority=100)
    app.connect("missing-reference", resolve_short_name)
    return {"parallel_read_safe": True}
