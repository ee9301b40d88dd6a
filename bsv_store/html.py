"""Small HTML cards and tables for notebooks. Every value is escaped.

Text has the color of the notebook; lines and backgrounds have colors for light and dark themes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bsv_store.text import number_of, visible

# Longer tables in cards are cut.
MAX_ROWS = 12

_STYLE = """
.bsv-card{--bsv-line:#d0d7de;--bsv-soft:#57606a;--bsv-back:#f6f8fa;
border:1px solid var(--jp-border-color2,var(--bsv-line));border-radius:6px;padding:.6em .9em;margin:.2em 0;
max-width:52em;font-size:.95em;line-height:1.45;color:inherit;overflow-x:auto}
@media (prefers-color-scheme:dark){.bsv-card{--bsv-line:#444c56;--bsv-soft:#9da7b1;--bsv-back:#22272e}}
[data-jp-theme-light="true"] .bsv-card{--bsv-line:#d0d7de;--bsv-soft:#57606a;--bsv-back:#f6f8fa}
[data-jp-theme-light="false"] .bsv-card,body.vscode-dark .bsv-card{
--bsv-line:#444c56;--bsv-soft:#9da7b1;--bsv-back:#22272e}
.bsv-card .bsv-title{font-weight:600}
.bsv-card .bsv-kind,.bsv-card .bsv-note,.bsv-card dt{color:var(--jp-ui-font-color2,var(--bsv-soft))}
.bsv-card .bsv-kind{margin-left:.6em;font-size:.9em}
.bsv-card dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em .9em;margin:.4em 0 0}
.bsv-card dt{font-weight:400;margin:0}
.bsv-card dd{margin:0;overflow-wrap:anywhere}
.bsv-card table{border-collapse:collapse;margin:.5em 0 0;font-size:.95em}
.bsv-card th,.bsv-card td{text-align:left;padding:.15em .8em .15em 0;border-bottom:1px solid var(--bsv-line);
background:none;vertical-align:top}
.bsv-card td.bsv-number,.bsv-card th.bsv-number{text-align:right;font-variant-numeric:tabular-nums}
.bsv-card pre{margin:.4em 0 0;padding:.5em .7em;background:var(--jp-layout-color2,var(--bsv-back));color:inherit;
white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9em}
.bsv-card p{margin:.4em 0 0}
"""


def card(
    title: str,
    *parts: str,
    kind: str,
    facts: Iterable[tuple[str, object]] = (),
    notes: Iterable[str] = (),
) -> str:
    """A card for an object.

    Parameters
    ----------
    title : str
    *parts : str
        HTML below the facts, as `table`, `paragraph` and `preformatted` return it.
    kind : str
        What the object is, beside the title.
    facts : iterable of (str, object)
        Names and values; those that are None or empty are left out.
    notes : iterable of str
        Remarks at the end.
    """
    known = [(name, str(value)) for name, value in facts if value is not None and value != ""]
    listed = "".join(f"<dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd>" for name, value in known)
    remarks = "".join(f'<p class="bsv-note">{_escaped(note)}</p>' for note in notes)
    return (
        f'<div class="bsv-card"><style>{_STYLE}</style>'
        f'<div><span class="bsv-title">{_escaped(title)}</span><span class="bsv-kind">{_escaped(kind)}</span></div>'
        f"{f'<dl>{listed}</dl>' if listed else ''}{''.join(parts)}{remarks}</div>"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, limit: int = MAX_ROWS) -> str:
    """A table with at most ``limit`` rows, and how many more there are; '' without rows. Numbers are right-aligned."""
    if not rows:
        return ""
    is_number = [all(isinstance(row[at], int | float) or row[at] is None for row in rows) for at in range(len(columns))]
    head = "".join(_cell("th", name, is_number[at], ' scope="col"') for at, name in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(_cell('td', _text(value), is_number[at]) for at, value in enumerate(row))}</tr>"
        for row in rows[:limit]
    )
    more = f'<p class="bsv-note">and {number_of(len(rows) - limit, "more row")}</p>' if len(rows) > limit else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{_escaped(text)}</p>"


def preformatted(text: str) -> str:
    """Text with its line breaks, in a fixed-width font."""
    return f"<pre>{_escaped(text)}</pre>"


def folded(summary: str, content: str) -> str:
    """HTML that is hidden until its summary is clicked."""
    return f"<details><summary>{_escaped(summary)}</summary>{content}</details>"


def text_card(kind: str, text: str) -> str:
    """A card for an object whose text says everything."""
    return card(kind, preformatted(text), kind="")


def _escaped(text: str) -> str:
    return escape(visible(text))


def _cell(tag: str, text: str, is_number: bool, attributes: str = "") -> str:
    number = ' class="bsv-number"' if is_number else ""
    return f"<{tag}{attributes}{number}>{_escaped(text)}</{tag}>"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
