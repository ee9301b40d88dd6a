"""Operations of the API: one row each, from which the routes and the OpenAPI document are made."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, assert_never

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from bsv_store.documents import json_value
from bsv_store.errors import InputError
from bsv_store.server.context import context_of
from bsv_store.server.data.collected_warnings import collected_warnings
from bsv_store.server.data.conditions import accepts_gzip
from bsv_store.server.data.formats import table_type
from bsv_store.server.data.kept_answer import Encoding, KeptAnswer, kept_answer
from bsv_store.server.data.shared import Shared, shared_of
from bsv_store.text import MAX_ID, shown

if TYPE_CHECKING:
    from starlette.responses import Response

    from bsv_store.errors import BsvStoreWarning
    from bsv_store.store.store import Store

Kind = Literal["integer", "number", "boolean", "string", "structure", "integers", "numbers", "strings", "structures"]
Group = Literal["catalog", "search", "atlas", "volumes", "datasets", "images", "server", "mirror", "allen"]

_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no"})
_MAX_DIGITS = 20
_IN_PATH = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter in the query or the path of an address.

    Attributes
    ----------
    name : str
    kind : Kind
        A plural is a list separated by commas; a structure is an acronym, or an id in digits.
    words : str
        Description.
    is_required : bool
    choices : tuple of str
        All valid values, if they are a closed list. The library checks them.
    default : object
        Used if it is not given; None leaves the choice to the library.
    example : object
    least, most : int or None
        Limits of integers.
    """

    name: str
    kind: Kind
    words: str
    is_required: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None
    example: Any = None
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request for an operation.

    Attributes
    ----------
    request : Request
    store : Store
    shared : Shared
    values : mapping of str to object
        The parameters; None if one is not given and has no default.
    body : object
        The JSON of the body; None without one.
    media_type : str
        The format of the answer.
    warnings : list of BsvStoreWarning
        What the library warned about so far.
    marker : str or None
        The change marker of the catalog, read once for each request; None if answers of the operation are not kept.
    """

    request: Request
    store: Store
    shared: Shared
    values: Mapping[str, Any]
    body: Any
    media_type: str
    warnings: list[BsvStoreWarning]
    marker: str | None

    def given(self, *names: str) -> dict[str, Any]:
        """Those of some parameters that were given or have a default, as keyword arguments."""
        return {name: self.values[name] for name in names if self.values[name] is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The description of an address.

    Attributes
    ----------
    path : str
        With the parameters of the path in braces.
    summary : str
        One line.
    group : Group
    parameters : tuple of Parameter
        Those of the path first.
    media_types : tuple of str
        Of the answer, the default first.
    schema : mapping
        JSON schema of an answer in JSON.
    method : str
    body : mapping or None
        JSON schema of the body of a request.
    description : str
        More about it.
    has_ranges : bool
        Whether a part of the answer can be requested.
    pages : mapping of int to str
        Descriptions of the statuses that may be answered with a page of HTML instead of a problem document.
    """

    path: str
    summary: str
    group: Group
    parameters: tuple[Parameter, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    method: Literal["GET", "POST"] = "GET"
    body: Mapping[str, Any] | None = None
    description: str = ""
    has_ranges: bool = False
    pages: Mapping[int, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique name, the ``operationId``."""
        raise NotImplementedError

    @property
    def path_names(self) -> frozenset[str]:
        """Names of the parameters in the path."""
        return frozenset(_IN_PATH.findall(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedRoute(Described):
    """The description of an address whose route is written by hand."""

    route_name: str

    @property
    def name(self) -> str:
        """Unique name, the ``operationId``."""
        return self.route_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Described):
    """An operation: what answers requests to one address, and its description.

    Attributes
    ----------
    answer : callable
        Called in a thread.
    is_kept : bool
        Whether the answer depends on the parameters, the catalog and the format only, so that it can be cached.
    is_table : bool
        Whether the answer is a table, so that the client chooses its format.
    is_long : bool
        Whether it may take seconds or much memory, so that few run at a time, in threads of their own.
    """

    answer: Callable[[Call], Response]
    is_kept: bool = False
    is_table: bool = False
    is_long: bool = False

    @property
    def name(self) -> str:
        """Unique name, the ``operationId``."""
        return self.answer.__name__.strip("_")

    def route(self) -> Route:
        """The route of the framework."""
        if self.body is None and not self.is_long:

            def endpoint(request: Request) -> Response:
                return self._answer(request, None)

            return Route(self.path, endpoint, methods=[self.method], name=self.name)

        async def waiting_endpoint(request: Request) -> Response:
            body = None if self.body is None else await request.body()
            run = shared_of(request).run_long if self.is_long else run_in_threadpool
            return await run(partial(self._answer, request, body))

        return Route(self.path, waiting_endpoint, methods=[self.method], name=self.name)

    def _answer(self, request: Request, body: bytes | None) -> Response:
        values = self._values(request)
        content = None if body is None else _json_body(body)
        chosen = self.media_types[0]
        if self.is_table:
            chosen = table_type(values.get("format"), request.headers.get("accept"))
        store, shared = context_of(request).store, shared_of(request)
        marker = store.catalog.change_marker() if self.is_kept else None

        def answer() -> Response:
            with collected_warnings() as warned:
                return self.answer(Call(request, store, shared, values, content, chosen, warned, marker))

        if not self.is_kept:
            return answer()
        encoding: Encoding = "gzip" if accepts_gzip(request.headers.get("accept-encoding")) else "identity"

        def make() -> KeptAnswer:
            return kept_answer(answer(), encoding)

        # An address may be longer than its answer.
        asked = hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).digest()
        return shared.kept(store, (self.name, asked, chosen, encoding), make, marker=marker).response(request)

    def _values(self, request: Request) -> dict[str, Any]:
        known = {parameter.name: parameter for parameter in self.parameters}
        given: dict[str, str] = dict(request.path_params)
        for name, text in request.query_params.multi_items():
            if name not in known or name in self.path_names:
                names = ", ".join(each for each in known if each not in self.path_names)
                raise InputError(
                    f"the address has an unknown parameter {shown(name)}",
                    hint=f"Valid parameters are: {names}." if names else "It has no parameters.",
                )
            if name in given:
                raise InputError(f"the parameter {name} is given twice", hint="Separate several values by commas.")
            given[name] = text
        values = {}
        for name, parameter in known.items():
            if name in given:
                values[name] = parsed(parameter, given[name])
            elif parameter.is_required:
                raise InputError(f"the parameter {name} is missing: {parameter.words}")
            else:
                values[name] = parameter.default
        return values


def routes_of(operations: Sequence[Operation]) -> list[Route]:
    """The routes of operations, in their order."""
    return [operation.route() for operation in operations]


def parsed(parameter: Parameter, text: str) -> Any:
    """The value of a parameter.

    Raises
    ------
    InputError
        If the text is not of its kind, or outside its limits.
    """
    name, kind = parameter.name, parameter.kind
    if "\0" in text:
        raise InputError(f"{name} contains a NUL character")
    if kind == "string":
        return text
    if kind == "strings":
        return _several(text)
    if kind == "integer":
        return _integer(parameter, text)
    if kind == "integers":
        return [_integer(parameter, each) for each in _several(text)]
    if kind == "number":
        return _number(name, text)
    if kind == "numbers":
        return [_number(name, each) for each in _several(text)]
    if kind == "boolean":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise InputError(f"{name} must be true or false, got {shown(text)}")
    if kind == "structure":
        return _structure(parameter, text)
    if kind == "structures":
        return [_structure(parameter, each) for each in _several(text)]
    assert_never(kind)


def _structure(parameter: Parameter, text: str) -> str | int:
    return _integer(parameter, text) if text.isascii() and text.isdecimal() else text


def _several(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _integer(parameter: Parameter, text: str) -> int:
    name, digits = parameter.name, text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
        raise InputError(f"{name} must be an integer, got {shown(text)}")
    number = int(text)
    least = -MAX_ID if parameter.least is None else parameter.least
    most = MAX_ID if parameter.most is None else parameter.most
    if not least <= number <= most:
        raise InputError(f"{name} must be between {least} and {most}, got {number}")
    return number


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} must be a finite number, got {shown(text)}")
    return number


def _json_body(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("the body of the request is not UTF-8") from error
    return _json("the body of the request", text)


def _json(name: str, text: str) -> Any:
    try:
        return json_value(text)
    except ValueError as error:
        raise InputError(f"{name} is not valid JSON: {error}") from error
