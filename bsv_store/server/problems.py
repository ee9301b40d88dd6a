"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from bsv_store import errors
from bsv_store.errors import BsvStoreError
from bsv_store.remote.protocol import PROBLEM_TYPE, problem_of
from bsv_store.server.context import Context, context_of
from bsv_store.server.pages.failures import page_for_browsers

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STATUSES: Final[Mapping[type[BsvStoreError], int]] = {
    errors.BsvStoreError: 500,
    errors.InputError: 400,
    errors.UnknownStructureError: 404,
    errors.UnknownExperimentError: 404,
    errors.UnknownDatasetError: 404,
    errors.MissingDataError: 404,
    errors.NotReproducibleError: 409,
    errors.StoreExistsError: 409,
    errors.TokenError: 401,
    errors.ScopeError: 403,
    errors.ReadOnlyStoreError: 403,
    errors.StoreError: 503,
    errors.DamagedFileError: 500,
    errors.DamagedCatalogError: 500,
    errors.BackupError: 500,
    errors.SchemaError: 503,
    errors.BusyError: 503,
    errors.UpstreamError: 502,
    errors.NotFoundUpstreamError: 404,
    errors.NoSpaceError: 507,
}
"""Status of each class of errors; a class that is not here has that of its nearest base class."""

_RETRY_AFTER_S = 2

# The errors of the framework and of the middleware, which have no class of their own: class for the client, title (the
# name of the status in RFC 9110 and 6585), and text.
_FRAMEWORK: Final[Mapping[int, tuple[type[BsvStoreError], str, str]]] = {
    400: (errors.InputError, "Bad Request", "the request is not valid"),
    403: (errors.InputError, "Forbidden", "the server refuses the request"),
    404: (errors.InputError, "Not Found", "the server does not have this address"),
    405: (errors.InputError, "Method Not Allowed", "this address does not accept the method of the request"),
    406: (errors.InputError, "Not Acceptable", "this address does not have the requested format"),
    408: (errors.InputError, "Request Timeout", "the body of the request did not arrive in time"),
    413: (errors.InputError, "Content Too Large", "the body of the request is too large"),
    414: (errors.InputError, "URI Too Long", "the address of the request is too long"),
    415: (errors.InputError, "Unsupported Media Type", "the format of the request's body is not supported"),
    416: (errors.InputError, "Range Not Satisfiable", "the requested range is outside the file"),
    421: (errors.InputError, "Misdirected Request", "the server does not answer to this host name"),
    429: (errors.BusyError, "Too Many Requests", "too many requests"),
    431: (errors.InputError, "Request Header Fields Too Large", "the headers of the request are too large"),
    500: (errors.BsvStoreError, "Internal Server Error", "the server failed because of an unexpected error"),
    503: (errors.BusyError, "Service Unavailable", "the server is busy"),
}
_OTHER_TITLE: Final = "Request Failed"


def status_of(error: BsvStoreError) -> int:
    """The HTTP status of an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem_response(
    context: Context,
    error: BsvStoreError,
    *,
    status: int | None = None,
    title: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as the answer to a request, without paths of the machine.

    Parameters
    ----------
    context : Context
    error : BsvStoreError
    status : int, optional
        By default that of the class of the error.
    title : str, optional
        As for `problem_of`.
    headers : mapping of str to str, optional
    """
    status = status_of(error) if status is None else status
    document = problem_of(error, status=status, title=title)
    for name in ("detail", "hint"):
        if document[name] is not None:
            document[name] = context.paths.removed(document[name])
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if status == 503:
        sent.setdefault("Retry-After", str(_RETRY_AFTER_S))
    if status == 401:
        sent.setdefault("WWW-Authenticate", 'Bearer realm="bsv-store"')
    if status == 403 and isinstance(error, errors.ScopeError):
        sent.setdefault("WWW-Authenticate", 'Bearer realm="bsv-store", error="insufficient_scope"')
    return JSONResponse(document, status_code=status, headers=sent, media_type=PROBLEM_TYPE)


def framework_problem(
    context: Context,
    status: int,
    *,
    detail: str | None = None,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for an error that is known by its status only, such as 404 for an unknown address.

    Parameters
    ----------
    context : Context
    status : int
    detail : str, optional
        Instead of the usual text.
    hint : str, optional
    headers : mapping of str to str, optional
    """
    other = (errors.BsvStoreError, _OTHER_TITLE, f"the request failed with status {status}")
    kind, title, words = _FRAMEWORK.get(status, other)
    return problem_response(context, kind(detail or words, hint=hint), status=status, title=title, headers=headers)


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BsvStoreError)
    context = context_of(request)
    if status_of(error) >= 500 and not isinstance(error, errors.BusyError):
        # The cause may be that the store was upgraded or replaced; that says more than its consequence.
        try:
            context.check_store()
        except BsvStoreError as cause:
            return page_for_browsers(request, problem_response(context, cause, status=503))
    return page_for_browsers(request, problem_response(context, error))


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    is_default = error.detail == HTTPException(error.status_code).detail
    detail = None if is_default else error.detail
    problem = framework_problem(context_of(request), error.status_code, detail=detail, headers=error.headers)
    return page_for_browsers(request, problem)


HANDLERS: Final = {BsvStoreError: _on_error, HTTPException: _on_http_exception}
"""Handlers of exceptions for the application."""
