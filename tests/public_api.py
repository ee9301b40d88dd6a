"""The public API as text: names, signatures, commands and options. Writes ``public_api.txt`` when run as a module.

``python -m tests.public_api`` after an intended change; the test compares the file with the code, so that every change
of the API is seen in a diff.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import click

FILE = Path(__file__).with_suffix(".txt")
COMMAND = "python -m tests.public_api"

# Classes beside the names of bsv_store, whose methods and attributes users call.
CLASSES = (
    "bsv_store.store.catalog.Catalog",
    "bsv_store.store.search.Search",
    "bsv_store.store.atlas.Atlas",
    "bsv_store.store.volumes.Volumes",
    "bsv_store.store.datasets.Datasets",
)
MODULES = ("bsv_store", "bsv_store.compat", "bsv_store.models", "bsv_store.reports", "bsv_store.statistics")


def text() -> str:
    """The whole API, one name per line."""
    sections = [_module(name) for name in MODULES]
    sections += [_class(path.rpartition(".")[2], _named(path)) for path in CLASSES]
    sections += [_errors(), _vocabulary(), _commands()]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _module(name: str) -> list[str]:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None) or sorted(
        each
        for each, value in vars(module).items()
        if not each.startswith("_") and getattr(value, "__module__", None) == name
    )
    lines = [f"# module {name}"]
    for each in sorted(public):
        value = getattr(module, each)
        if inspect.isclass(value):
            lines += _class(each, value)
        elif callable(value):
            lines.append(f"{each}{signature(value)}")
        elif not each.startswith("__"):
            lines.append(f"{each}: {type(value).__name__}")
        else:
            lines.append(each)
    return lines


def _class(name: str, value: type) -> list[str]:
    bases = [base.__name__ for base in value.__bases__ if base is not object]
    lines = [f"class {name}{'(' + ', '.join(bases) + ')' if bases else ''}"]
    if _has_own_signature(value):
        lines.append(f"    {name}{signature(_constructor(value))}")
    lines += [f"    {line}" for line in _members(value)]
    return lines


def _constructor(value: type) -> Callable[..., Any]:
    found: Callable[..., Any] = vars(value).get("__init__") or getattr(value, "__init__")  # noqa: B009
    return found


def _has_own_signature(value: type) -> bool:
    # Models get their constructor from SQLAlchemy.
    found = _constructor(value)
    return inspect.isfunction(found) and (found.__module__.startswith("bsv_store") or dataclasses.is_dataclass(value))


def _members(value: type) -> Iterator[str]:
    """The public attributes and methods, inherited ones of the package included, by name."""
    found: dict[str, str] = {}
    for base in reversed([each for each in value.__mro__ if each.__module__.startswith("bsv_store")]):
        for name, annotation in inspect.get_annotations(base).items():
            if not name.startswith("_"):
                found[name] = f"{name}: {annotation}"
        for name, member in vars(base).items():
            if not name.startswith("_") and (line := _member(name, member)):
                found[name] = line
    yield from (found[name] for name in sorted(found))


def _member(name: str, member: Any) -> str | None:
    if isinstance(member, classmethod | staticmethod):
        return f"{type(member).__name__} {name}{signature(member.__func__)}"
    if inspect.isfunction(member):
        return f"{name}{signature(member)}"
    getter = getattr(member, "fget", None) or getattr(member, "func", None)
    if getter is not None:
        return f"property {name}: {inspect.get_annotations(getter).get('return', '?')}"
    return None


def signature(function: Any) -> str:
    """The signature with the annotations as they are written, the same on every version of Python."""
    parts: list[str] = []
    parameters = [each for each in inspect.signature(function).parameters.values() if each.name not in ("self", "cls")]
    marked = False
    for each in parameters:
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not marked:
            parts.append("*")
            marked = True
        marked = marked or each.kind is inspect.Parameter.VAR_POSITIONAL
        parts.append(_parameter(each))
    returns = inspect.get_annotations(function).get("return")
    arrow = "" if returns is None or returns == "None" else f" -> {returns}"
    return f"({', '.join(parts)}){arrow}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = ""
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        stars = "*"
    elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
        stars = "**"
    line = f"{stars}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        line += f": {parameter.annotation}"
    if parameter.default is not parameter.empty:
        line += f" = {_default(parameter.default)}"
    return line


def _default(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if value is None or isinstance(value, str | int | float | bool | tuple):
        return repr(value)
    # Factories of dataclass fields and the like: their text names addresses in memory.
    return "..."


def _errors() -> list[str]:
    from bsv_store import errors

    def tree(kind: type[errors.BsvStoreError], depth: int) -> Iterator[str]:
        yield f"{'    ' * depth}{kind.__name__}: exit code {kind.exit_code}"
        below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
        for each in sorted(below, key=lambda each: each.__name__):
            yield from tree(each, depth + 1)

    return ["# errors: bsv_store.errors", *tree(errors.BsvStoreError, 0)]


def _vocabulary() -> list[str]:
    from bsv_store import vocabulary

    lines = ["# names: bsv_store.vocabulary"]
    for name, value in sorted(vars(vocabulary).items()):
        values = get_args(value)
        if not name.startswith("_") and values and all(isinstance(each, str) for each in values):
            lines.append(f"{name}: {', '.join(values)}")
    return lines


def _commands() -> list[str]:
    from bsv_store_cli.main import cli

    return ["# commands", *_command(cli, "bsv-store")]


def _command(command: click.Command, path: str) -> Iterator[str]:
    yield path
    for parameter in command.params:
        yield f"    {_click_parameter(parameter)}"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, f"{path} {name}")


def _click_parameter(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(click.Context(click.Command("any")))
    assert isinstance(parameter, click.Option)
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag or parameter.count:
        return names
    value = "|".join(parameter.type.choices) if isinstance(parameter.type, click.Choice) else parameter.metavar
    facts = [value or parameter.type.name]
    if parameter.multiple:
        facts.append("repeatable")
    if parameter.required:
        facts.append("required")
    if isinstance(parameter.default, str | int | float) and not isinstance(parameter.default, bool):
        facts.append(f"default {parameter.default}")
    return f"{names} {'; '.join(facts)}"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
