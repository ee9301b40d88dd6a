"""The form of a selection, made from the library's list of criteria."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, assert_never

from bsv_store.catalog.selection.criteria import ANY_CRE, CRITERIA, WILD_TYPE, companions, default_of
from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.vocabulary import AXES, SPACINGS_UM

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criterion import Criterion, Section
    from bsv_store.store.store import Store

_HEADINGS: Mapping[Section, str] = {
    "injection": "Injection",
    "mouse": "Mouse",
    "projection": "Projection",
    "store": "In this store",
    "name": "By id",
}
_UNITS = {"MM3": "mm³", "UM": "um"}


def criteria_form(store: Store) -> Markup:
    """The fields of all criteria in sections; the script of the page reads and fills them."""
    known = _known_values(store)
    sections = []
    for section, heading in _HEADINGS.items():
        fields = [_group(name, known) for name in CRITERIA if _starts_group(name) and CRITERIA[name].section == section]
        summary = element("summary", element("span", heading), element("span", class_="count", hidden=True))
        sections.append(
            element("details", summary, element("div", fields, class_="fields"), open=section == "injection")
        )
    return joined(sections)


def label_of(name: str) -> str:
    """A criterion in a few words."""
    return CRITERIA[name].label or name.removesuffix("_um").replace("_", " ").capitalize()


def _known_values(store: Store) -> Mapping[str, list[tuple[str, int]]]:
    """The values of the experiments with their numbers, for criteria with an open list."""
    counts = store.catalog.summary()
    return {
        "line": [(name, number) for name, number in counts.lines if name != WILD_TYPE],
        "strain": [(name, number) for name, number in counts.strains if name is not None],
        "product": [(str(name), number) for name, number in counts.products if name is not None],
    }


def _upper_of(name: str) -> str | None:
    """The criterion that is the highest value of the column of which this one is the lowest."""
    lower = CRITERIA[name]
    if lower.bound != "lowest":
        return None
    return next(
        (other for other, row in CRITERIA.items() if (row.column, row.bound) == (lower.column, "highest")), None
    )


def _starts_group(name: str) -> bool:
    """Whether the field of a criterion is not inside that of another one."""
    return CRITERIA[name].belongs_to is None and name not in {_upper_of(other) for other in CRITERIA}


def _group(name: str, known: Mapping[str, list[tuple[str, int]]]) -> Markup:
    inner = [_group(each, known) for each in companions(name)]
    belonging = element("div", inner, class_="belonging", data_belongs_to=name, hidden=True) if inner else None
    return joined(_field(name, known), belonging)


def _field(name: str, known: Mapping[str, list[tuple[str, int]]]) -> Markup:
    criterion = CRITERIA[name]
    form = criterion.form
    common = {"data_criterion": name, "data_form": form}
    hint = element("small", _hint(name), id=f"hint-{name}", class_="hint")
    if form == "structures" or (form in ("names", "ids") and name in known):
        return _tokens(name, known.get(name), hint, common)
    if form == "names":
        assert criterion.rows is not None
        boxes = (
            element("label", element("input", type="checkbox", value=row.name), f" {_words(row)}", class_="check")
            for row in criterion.rows.values()
        )
        return element("fieldset", element("legend", label_of(name)), boxes, class_="field plain", **common)
    if form == "ids":
        area = element("textarea", id=f"field-{name}", rows=2, aria_describedby=f"hint-{name}", spellcheck="false")
        return _labelled(name, area, hint, common)
    if form == "choice" or form == "spacing":
        return _labelled(name, _select(name, criterion), hint, common)
    if form == "flag":
        return _flag(name, hint, common)
    if form == "number":
        return _number(name, criterion, hint)
    if form == "point":
        inputs = element("div", (_coordinate(axis, axis) for axis in AXES), class_="triple")
        return element(
            "fieldset", element("legend", label_of(name), _unit("UM")), inputs, hint, class_="field", **common
        )
    if form == "box":
        rows = (
            element(
                "div", element("span", axis), _coordinate(axis, f"{axis} from"), "–", _coordinate(axis, f"{axis} to")
            )
            for axis in AXES
        )
        return element(
            "fieldset",
            element("legend", label_of(name), _unit("UM")),
            element("div", rows, class_="ranges"),
            hint,
            class_="field",
            **common,
        )
    assert_never(form)


def _labelled(name: str, control: Content, hint: Content, common: Mapping[str, str]) -> Markup:
    label = element("label", label_of(name), _unit(CRITERIA[name].metavar), for_=f"field-{name}")
    return element("div", label, control, hint, class_="field", **common)


def _unit(metavar: str | None) -> Markup | None:
    unit = _UNITS.get(metavar or "")
    return None if unit is None else element("span", f" ({unit})", class_="soft")


def _hint(name: str) -> str:
    """The help of the command line, with the names of the form in place of options."""
    words = CRITERIA[name].words.replace("; repeatable", "").replace("; @- reads standard input", "")
    by_option = {
        (row.option or f"--{each.replace('_', '-')}").partition("/")[0]: each for each, row in CRITERIA.items()
    }
    named = re.sub(r"--[a-z-]+", lambda found: f"“{label_of(by_option.get(found[0], found[0]))}”", words)
    return named.removesuffix(".")


def _tokens(name: str, values: list[tuple[str, int]] | None, hint: Markup, common: Mapping[str, str]) -> Markup:
    """A field for several values, with suggestions: those of the ontology, or from a list."""
    listed = None
    if values is not None:
        special = [[WILD_TYPE, None], [ANY_CRE, None]] if name == "line" else []
        listed = json.dumps([*special, *([value, number] for value, number in values)])
    box = element(
        "input",
        id=f"field-{name}",
        type="text",
        role="combobox",
        aria_expanded="false",
        aria_autocomplete="list",
        aria_controls=f"list-{name}",
        aria_describedby=f"hint-{name}",
        autocomplete="off",
        autocapitalize="off",
        spellcheck="false",
        placeholder="VISp, primary visual, V1" if values is None else None,
    )
    return element(
        "div",
        element("label", label_of(name), for_=f"field-{name}"),
        element("div", element("ul", class_="tokens", aria_label=f"{label_of(name)}: chosen"), box, class_="token-box"),
        element("ul", id=f"list-{name}", role="listbox", aria_label=label_of(name), class_="suggestions", hidden=True),
        hint,
        class_="field",
        data_values=listed,
        **common,
    )


def _select(name: str, criterion: Criterion) -> Markup:
    default = default_of(name)
    rows: list[tuple[str, str]] = (
        [(str(um), f"{um} um") for um in SPACINGS_UM]
        if criterion.rows is None
        else [(row.name, _words(row)) for row in criterion.rows.values()]
    )
    first = [] if default is not None else [element("option", "any", value="")]
    options = (element("option", words, value=value, selected=value == str(default)) for value, words in rows)
    return element("select", first, options, id=f"field-{name}", aria_describedby=f"hint-{name}")


def _words(row: Any) -> str:
    words = str(getattr(row, "words", row.name))
    unit = getattr(row, "unit", None)
    return f"{words} ({unit})" if isinstance(unit, str) and unit and unit != "1" else words


def _flag(name: str, hint: Markup, common: Mapping[str, str]) -> Markup:
    if default_of(name) is None:
        options = (
            element("option", words, value=value) for value, words in (("", "any"), ("true", "yes"), ("false", "no"))
        )
        return _labelled(
            name, element("select", options, id=f"field-{name}", aria_describedby=f"hint-{name}"), hint, common
        )
    box = element("input", type="checkbox", id=f"field-{name}", aria_describedby=f"hint-{name}")
    return element("div", element("label", box, f" {label_of(name)}", class_="check"), hint, class_="field", **common)


def _number(name: str, criterion: Criterion, hint: Markup) -> Markup:
    upper = _upper_of(name)
    if upper is None:
        return _labelled(name, _number_input(name, criterion), hint, {"data_criterion": name, "data_form": "number"})
    inputs = (
        element(
            "span",
            _number_input(each, CRITERIA[each], label=f"{label_of(name)}, {words}", placeholder=words),
            data_criterion=each,
            data_form="number",
        )
        for each, words in ((name, "minimum"), (upper, "maximum"))
    )
    return element(
        "fieldset",
        element("legend", label_of(name), _unit(criterion.metavar)),
        element("div", _between(inputs), class_="range"),
        class_="field",
    )


def _between(inputs: Iterator[Markup]) -> Iterator[Content]:
    for number, each in enumerate(inputs):
        yield "–" if number else None
        yield each


def _number_input(
    name: str, criterion: Criterion, *, label: str | None = None, placeholder: str | None = None
) -> Markup:
    low, high = criterion.range
    default = default_of(name)
    return element(
        "input",
        id=f"field-{name}",
        type="number",
        step="any",
        min=f"{low:g}",
        max=f"{high:g}" if math.isfinite(high) else None,
        inputmode="decimal",
        value=None if default is None else f"{default:g}",
        aria_label=label,
        placeholder=placeholder,
        aria_describedby=None if label else f"hint-{name}",
    )


def _coordinate(axis: str, label: str) -> Markup:
    return element(
        "input",
        type="number",
        step="any",
        inputmode="decimal",
        aria_label=f"{label}, um",
        placeholder=axis,
        data_axis=axis,
    )
