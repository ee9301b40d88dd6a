"""The functions that user SQL may call, and how to find function calls in a statement for Postgres.

Some functions of Postgres have side effects even in a read-only transaction: they end other connections, take locks or
read files. Privileges alone do not prevent this, because ``set_config('role', ...)`` inside a query undoes ``SET
ROLE``. Therefore only functions that compute from their arguments are allowed. SQLite reports the functions that a
statement calls; for Postgres, they are found by parsing its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from bsv_store.errors import QueryError

FUNCTIONS_HINT = "Use only functions that compute from their arguments, such as count or lower."


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED: frozenset[str] = _words(
    """
    count sum avg min max total median mode every bool_and bool_or bit_and bit_or bit_xor stddev stddev_pop
    stddev_samp variance var_pop var_samp corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept
    regr_r2 regr_slope regr_sxx regr_sxy regr_syy percentile_cont percentile_disc percentile group_concat string_agg
    array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg json_group_array json_group_object row_number rank
    dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value abs acos acosh asin asinh atan
    atan2 atanh cbrt ceil ceiling cos cosh cot degrees div exp factorial floor gcd lcm ln log log10 log2 mod pi pow
    power radians random round scale sign sin sinh sqrt tan tanh trim_scale trunc width_bucket coalesce nullif
    ifnull iif if greatest least typeof pg_typeof likelihood likely unlikely num_nonnulls num_nulls ascii bit_length
    btrim char char_length character_length chr concat concat_ws decode encode hex initcap instr left length like
    glob lower ltrim md5 normalize octet_length overlay position printf quote quote_ident quote_literal regexp
    regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr replace reverse right rtrim sha224 sha256 sha384 sha512 soundex split_part
    starts_with string_to_array string_to_table strpos substr substring to_hex translate trim unhex unicode unistr
    upper age date date_bin date_part date_trunc datetime extract isfinite julianday justify_days justify_hours
    justify_interval make_date make_interval make_time make_timestamp make_timestamptz now strftime time timediff
    timezone to_char to_date to_number to_timestamp unixepoch current_date current_time current_timestamp
    statement_timestamp transaction_timestamp clock_timestamp localtime localtimestamp -> ->> json json_array
    json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each
    json_each_text json_error_position json_exists json_extract json_extract_path json_extract_path_text json_object
    json_object_keys json_pretty json_query json_quote json_strip_nulls json_tree json_type json_typeof json_valid
    json_value jsonb jsonb_array jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_each jsonb_each_text jsonb_extract jsonb_extract_path jsonb_extract_path_text
    jsonb_group_array jsonb_group_object jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_strip_nulls jsonb_typeof row_to_json to_json
    to_jsonb array_append array_cat array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_to_json array_to_string array_upper cardinality generate_series
    generate_subscripts unnest version sqlite_version sqlite_source_id changes last_insert_rowid total_changes
    """
)
"""Names of allowed functions, in lower case. Some exist on only one of the databases."""

# Types with arguments, as in numeric(10, 2), and as casts.
_TYPES = _words(
    """
    bit bool boolean bpchar char character date decimal dec double float float4 float8 int int2 int4 int8 integer
    interval nchar numeric real smallint bigint text time timestamp timestamptz timetz varbit varchar varying
    """
)

# Words of the grammar that are followed by a parenthesis.
_KEYWORDS = _words(
    """
    all analyze and any array as asymmetric bernoulli between both by case cast collate cross cube current distinct
    else end escape except exclude exists explain fetch filter following for from full group grouping groups having
    ilike in inner intersect is isnull join lateral leading like limit materialized natural not notnull nulls of
    offset on only or order outer over partition preceding range recursive repeatable rollup row rows select sets
    similar some symmetric system table tablesample then trailing union using values when where window with within
    """
)

_Kind = Literal["name", "quoted", "string", "escaped", "number", "sign"]


class _Token(NamedTuple):
    kind: _Kind
    text: str


# As in the lexer of Postgres, all non-ASCII characters are letters.
_LETTER = r"A-Za-z_\u0080-\U0010ffff"
_PIECE = re.compile(
    rf"""
      (?P<space>[ \t\n\r\f\v]+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<unicode>[uU]&")
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<string>'(?:[^']|'')*'|\$(?P<tag>[{_LETTER}][{_LETTER}0-9]*|)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+|\$\d+)
    | (?P<name>[{_LETTER}][{_LETTER}0-9$]*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# lastgroup is the group that ended last.
_KINDS: dict[str | None, _Kind] = {**{kind: kind for kind in get_args(_Kind)}, "tag": "string"}
_COMMENT_END = re.compile(r"/\*|\*/")


def check_functions(statement: str) -> None:
    """Check that a statement for Postgres calls only allowed functions. Ambiguous names count as function calls.

    Raises
    ------
    QueryError
        If it calls another function, or has identifiers with Unicode escapes, which could hide one.
    """
    tokens = list(_tokens(statement))
    for place, token in enumerate(tokens):
        if token != _OPEN or place == 0 or tokens[place - 1].kind not in ("name", "quoted"):
            continue
        name = _name(tokens[place - 1])
        # The table of an INSERT, which is refused because the transaction is read-only.
        is_table = place == len(_INSERT) + 1 and tuple(token.text.lower() for token in tokens[:2]) == _INSERT
        if not is_table and not _is_harmless(name, tokens, place - 1):
            raise QueryError(f"the function {name} is not allowed in queries", hint=FUNCTIONS_HINT)


_INSERT = ("insert", "into")
_OPEN, _CLOSE, _COMMA, _DOT = (_Token("sign", each) for each in "(),.")


def _is_harmless(name: str, tokens: Sequence[_Token], place: int) -> bool:
    """Whether the name at a position, followed by a parenthesis, is an allowed function or not a function."""
    is_plain = tokens[place].kind == "name"
    before = tokens[place - 1] if place else None
    if before == _DOT:
        schema = place >= 2 and _name(tokens[place - 2]) == "pg_catalog" and (place < 3 or tokens[place - 3] != _DOT)
        return schema and name in ALLOWED
    if name in ALLOWED or (is_plain and (name in _KEYWORDS or name in _TYPES)):
        return True
    # The columns of a table: AS name (a, b), or (SELECT ...) name (a, b).
    return _is_word(before, "as") or _names_columns(tokens, place)


def _names_columns(tokens: Sequence[_Token], place: int) -> bool:
    end = _end_of_names(tokens, place + 1)
    if end is None or place == 0:
        return False
    if tokens[place - 1] == _CLOSE:
        # A function may follow DISTINCT ON (...).
        opening = _opening(tokens, place - 1)
        return opening is not None and opening > 0 and not _is_word(tokens[opening - 1], "on")
    if not (tokens[place - 1] == _COMMA or any(_is_word(tokens[place - 1], each) for each in ("with", "recursive"))):
        return False
    # WITH name (a, b) AS (SELECT; but FROM function (a, b) AS (name type).
    rest = list(tokens[end + 1 : end + 7])
    if not (rest and _is_word(rest.pop(0), "as")):
        return False
    for word in ("not", "materialized"):
        if rest and _is_word(rest[0], word):
            rest.pop(0)
    if len(rest) < 2 or rest[0] != _OPEN:
        return False
    if _is_word(rest[1], "values"):
        return len(rest) > 2 and rest[2] == _OPEN
    return rest[1] == _OPEN or any(_is_word(rest[1], word) for word in ("select", "with", "table"))


def _end_of_names(tokens: Sequence[_Token], opening: int) -> int | None:
    """The position of the parenthesis that closes a list of plain names; None if it is another kind of list."""
    for place in range(opening + 1, len(tokens), 2):
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        if tokens[place].kind not in ("name", "quoted") or after not in (_COMMA, _CLOSE):
            return None
        if after == _CLOSE:
            return place + 1
    return None


def _opening(tokens: Sequence[_Token], closing: int) -> int | None:
    depth = 0
    for place in range(closing, -1, -1):
        depth += (tokens[place] == _CLOSE) - (tokens[place] == _OPEN)
        if depth == 0:
            return place
    return None


def _name(token: _Token) -> str:
    return token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text.lower()


def _is_word(token: _Token | None, word: str) -> bool:
    return token is not None and token.kind == "name" and token.text.lower() == word


def _tokens(statement: str) -> Iterator[_Token]:
    place, before = 0, None
    while place < len(statement):
        piece = _PIECE.match(statement, place)
        if piece is None:
            return
        place, kind = piece.end(), piece.lastgroup
        if kind == "comment":
            place = _end_of_comment(statement, place)
        elif kind == "unicode":
            raise QueryError('identifiers with Unicode escapes, U&"...", are not allowed in queries')
        elif kind in _KINDS:
            token = _Token(_KINDS[kind], piece[0])
            if before == "escaped" and token.kind == "string" and token.text.startswith("'"):
                # Postgres interprets escapes in the continuation on the next line too.
                raise QueryError("a string with escapes, E'...', cannot be continued", hint="Write it as one string.")
            yield token
            before = token.kind


def _end_of_comment(statement: str, place: int) -> int:
    """The end of a comment, which may contain nested comments."""
    depth = 1
    while depth:
        found = _COMMENT_END.search(statement, place)
        if found is None:
            return len(statement)
        depth += 1 if found[0] == "/*" else -1
        place = found.end()
    return place
