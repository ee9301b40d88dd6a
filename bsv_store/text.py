"""Comparison of names that users write, and formatting of values, numbers, sizes and lists in messages."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence

# More than twice the length of Allen's longest structure name (104).
MAX_NAME_LENGTH = 256
MAX_ID = 2**63 - 1
SHA256 = re.compile("[0-9a-f]{64}")
"""A SHA-256 in hexadecimal; use its method ``fullmatch``."""

_SHOWN = 60


def shown(value: object) -> str:
    """A value for an error message: one short line without control characters."""
    if isinstance(value, str):
        is_printable = value[: _SHOWN + 1].isprintable()
        text = repr(value[: _SHOWN + 1]) if is_printable else ascii_text(value, limit=_SHOWN)
    else:
        # An array has several lines.
        text = " ".join(ascii_text(value, limit=_SHOWN).split())
    if len(text) <= _SHOWN:
        return text
    length = f" ({len(value):,} characters)" if isinstance(value, str) else ""
    return f"{text[:_SHOWN]}...{length}"


def ascii_text(value: object, *, limit: int) -> str:
    """The `ascii` of a value for an error message; of a long string, that of its first ``limit`` + 1 characters.

    A value that is too large or nested too deeply to be written is described instead.
    """
    if isinstance(value, str):
        return ascii(value[: limit + 1])
    if isinstance(value, int) and abs(value) > MAX_ID:
        # Python refuses to convert integers of thousands of digits.
        return f"{'-' if value < 0 else ''}(an integer of {value.bit_length():,} bits)"
    if not _is_short(value):
        return f"a {type(value).__name__} that is too large to be shown"
    try:
        return ascii(value)
    except (ValueError, RecursionError):
        # An integer of thousands of digits in a list, or deep nesting.
        return f"a {type(value).__name__} that cannot be shown"


_MAX_PARTS = 10_000
_MAX_REASON = 300


def reason(error: BaseException) -> str:
    """The message of an error of another library, shortened, for use in a message of this package."""
    text = str(error)
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."


def _is_short(value: object) -> bool:
    """Whether a value has at most ten thousand parts and characters in each."""
    waiting, count = [value], 1
    while waiting:
        each = waiting.pop()
        if isinstance(each, str | bytes) and len(each) > _MAX_PARTS:
            return False
        if isinstance(each, dict | list | tuple | set | frozenset):
            count += len(each)
            if count > _MAX_PARTS:
                return False
            waiting.extend([*each, *each.values()] if isinstance(each, dict) else each)
    return True


def printable(text: str, *, keep: str = "") -> str:
    """The text with control, bidirectional and other invisible characters as escapes, except those in ``keep``."""
    if text.isprintable():
        return text
    return _with_escapes(text, [each for each in set(text) if not each.isprintable() and each not in keep])


def visible(text: str) -> str:
    """The text for HTML: control, bidirectional and zero-width characters as escapes, spaces as they are."""
    if text.isprintable():
        return text
    hidden = [each for each in set(text) if unicodedata.category(each) in _INVISIBLE and each not in "\n\t"]
    return _with_escapes(text, hidden)


# Control and format characters, surrogates, and separators of lines and paragraphs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def _with_escapes(text: str, characters: Iterable[str]) -> str:
    return text.translate({ord(each): each.encode("unicode_escape").decode("ascii") for each in characters})


def can_be_name(text: str) -> bool:
    """Whether a text can be a name: not empty, not too long, and only printable characters."""
    return 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()


def folded(name: str) -> str:
    """The name without case, hyphens, underscores and spaces, for comparison."""
    return name.casefold().translate(_IGNORED)


_IGNORED = {ord(each): None for each in "-_ "}


def as_reference(structure: str | int) -> str | int:
    """A structure acronym or id unchanged, but a string of digits as an id, because no acronym consists of digits."""
    if isinstance(structure, str) and can_be_name(structure) and structure.isascii() and structure.isdigit():
        return int(structure)
    return structure


def near_names(text: str, names: Iterable[str], *, limit: int = 5) -> list[str]:
    """Similar names, best first: those that differ in case only, then close matches, then those containing the text."""
    if not can_be_name(text):
        return []
    import difflib

    # Sorted, so that the result does not depend on the order of database rows.
    candidates = sorted(set(names))
    wanted = text.casefold()
    same = [name for name in candidates if name.casefold() == wanted]
    by_folded: dict[str, list[str]] = {}
    for name in candidates:
        by_folded.setdefault(name.casefold(), []).append(name)
    similar = [
        name for match in difflib.get_close_matches(wanted, by_folded, n=limit, cutoff=0.6) for name in by_folded[match]
    ]
    containing = [name for name in candidates if wanted in name.casefold()]
    return list(dict.fromkeys(same + similar + containing))[:limit]


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def spreadsheet_cell(value: object) -> object:
    """The value of a cell; text that a spreadsheet would take for a formula gets an apostrophe, as OWASP recommends."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def number_of(number: int, what: str) -> str:
    """A number with its noun, such as ``1 row`` or ``2,992 rows``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def listed(values: Iterable[object], *, limit: int = 5, separator: str = ", ") -> str:
    """The values in one line: the first ``limit`` of them, and how many more there are."""
    items = list(values)
    text = separator.join(str(item) for item in items[:limit])
    return text if len(items) <= limit else f"{text} and {len(items) - limit:,} more"


INCLUDE_EXCLUDED = "--include-excluded"
_SPELLED_OUT = 20


def store_option(store: object) -> str:
    """The option that names a store, quoted for the shell, for a command that a user copies from a message."""
    return f"--store {shlex.quote(str(store))}"


def ids_option(ids: Iterable[int | str]) -> str:
    """The options of a command that name these experiments, for a command that a user copies from a message.

    It includes ``--include-excluded``, because an experiment on the exclusion list that is named by id is otherwise
    refused. The option has no effect on other experiments, so the caller need not read the exclusion list. Withdrawn
    experiments need no option. More than 20 ids are read from a file; see `with_file`.
    """
    texts = [str(each) for each in ids]
    return f"--ids {','.join(texts) if len(texts) <= _SPELLED_OUT else '@FILE'} {INCLUDE_EXCLUDED}"


def with_file(command: str) -> str:
    """A command, with a note about its file of ids if it has ``--ids @FILE``."""
    return f"{command} (FILE: a list of the ids)" if "--ids @FILE" in command else command


def joined(values: Sequence[str], conjunction: str) -> str:
    """The values in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    if len(values) < 2:
        return "".join(values)
    return f"{', '.join(values[:-1])} {conjunction} {values[-1]}"


def label_in_prose(label: str) -> str:
    """A label in a sentence, in quotation marks if it contains a comma."""
    return f'"{label}"' if ", " in label else label


def listed_ids(ids: Iterable[int]) -> str:
    """The first ten ids in ascending order, and how many more there are."""
    return listed(sorted(ids), limit=10)


def size_text(size_bytes: int) -> str:
    """A size with its unit, in powers of 1,000, such as ``4.8 MB``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def duration_text(seconds: float) -> str:
    """A duration, such as ``5 s``, ``2 min 05 s`` and ``1 h 40 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def fact_lines(facts: Iterable[tuple[str, object]]) -> str:
    """Names and values as aligned lines, without values that are None or empty."""
    known = [(name, str(value)) for name, value in facts if value is not None and value != ""]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in known)


# Parameters of connections to databases.
_SECRET_NAMES = r"pass(?:word|file|wd|phrase)?|pwd|sslpassword|oauth_client_secret"
# Names that end like this: PGPASSWORD, access_token, X-Amz-Signature, AWS_SECRET_ACCESS_KEY.
_SECRET_ENDINGS = (
    r"password|passwd|passphrase|passfile|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|signature|credential"
)
# user:password@ in a URL; logins in headers; name=value and name='value' in URLs and connection strings, name: value.
_SECRETS = re.compile(
    rf"(?P<user>[a-z][a-z0-9+.-]{{0,40}}:/{{0,2}}[^\s:/@?#]*:)[^\s]*(?=@)"
    r"|(?P<login>\bauthorization[\"']?\s*[=:]\s*[\"']?(?:bearer|basic)\s+|\bbearer\s+(?=[\w.~+/-]{16}))[^\s\"',;]+"
    rf"|(?P<name>\b(?:{_SECRET_NAMES}|sig|[\w.-]{{0,40}}(?:{_SECRET_ENDINGS}))[\"']?(?:\s*[=:]\s*|%3d))"
    r"(?:'(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s&;,'\"]+)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The text without passwords, tokens and signatures.

    Those in URLs (``user:password@``, ``?token=...``), connection strings (``password=...``), variables, and headers of
    logins.
    """
    return _SECRETS.sub(lambda match: f"{match['user'] or match['login'] or match['name']}***", text)


def names_secret(text: str) -> bool:
    """Whether a text contains ``password=...`` or another parameter of a connection that is secret."""
    return re.search(rf"\b(?:{_SECRET_NAMES})\s*=", text, re.IGNORECASE) is not None
