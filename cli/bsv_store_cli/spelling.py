"""Messages of the library in the words of the command line: options instead of arguments of Python."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

# Not in paths, names in quotes, or options.
_BEFORE, _AFTER = r"(?<![\w/.'\"-])", r"(?![\w/'\"=-]|\.\w)"
_VALUE = r"=(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|\((?P<several>[^)]*)\)|(?P<plain>\w[\w.]*\w|\w))"


def with_options(text: str, parameters: Sequence[click.Parameter]) -> str:
    """The text, in which arguments of Python are options if the command has them.

    ``allow_shrinking=True`` becomes ``--allow-shrinking``, ``missing="leave_out"`` becomes ``--missing leave-out``, and
    ``structure_set`` becomes ``--structure-set``. A name of one word without a value may be plain English, and stays.
    """
    for parameter in parameters:
        if isinstance(parameter, click.Option) and parameter.name and re.search(rf"\b{parameter.name}\b", text):
            text = _with_option(text, parameter)
    return text


def _with_option(text: str, option: click.Option) -> str:
    name, spelling = re.escape(str(option.name)), next((each for each in option.opts if each.startswith("--")), "")
    if not spelling:
        return text
    if option.is_flag:
        text = re.sub(rf"{_BEFORE}{name}=True\b", spelling, text)
    else:
        text = re.sub(_BEFORE + name + _VALUE, lambda found: f"{spelling} {_value(found, option)}", text)
    return re.sub(rf"{_BEFORE}{name}{_AFTER}", spelling, text) if "_" in name else text


def _value(found: re.Match[str], option: click.Option) -> str:
    value = next(each for each in found.group("double", "single", "several", "plain") if each is not None)
    if found["several"] is not None:
        return value.replace(", ", ",")
    return value.replace("_", "-") if isinstance(option.type, click.Choice) else value
