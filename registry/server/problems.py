"""Problems: every error as a document of RFC 9457, from which the client makes the same error again."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from registry import errors
from registry.errors import AdaptoryError, InvalidInput, NotFound, Unavailable

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:adaptory:error:"


HANG_UP = {"connection": "close"}
"""Where the rest of a body is not wanted: on an open connection it would be sent all the same, GB of it perhaps."""


class Problem(BaseModel):
    """What went wrong.

    Attributes:
        type: ``urn:adaptory:error:`` and the class of ``registry.errors``.
        title: that class.
        status: the response's.
        detail: what happened and what was expected, one line.
        hint: what to do next, or an empty string.
    """

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": "An RFC 9457 problem"},
    "5XX": {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": "An RFC 9457 problem"},
}


def problem(error: AdaptoryError, status: int | None = None) -> JSONResponse:
    """The response that reports an error; ``status`` overrules that of its class."""
    kind = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    status = status or error.http_status
    content = Problem(type=TYPE + kind, title=kind, status=status, detail=error.message, hint=error.hint)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if status == 413:
        headers |= HANG_UP
    return JSONResponse(content.model_dump(), status, headers, MEDIA_TYPE)


def report_problems(app: FastAPI) -> None:
    """Let an application answer every error with a problem."""

    @app.exception_handler(AdaptoryError)
    async def known(request: Request, error: AdaptoryError) -> JSONResponse:
        response = problem(error)
        if request.method == "PATCH":
            response.headers.update(HANG_UP)
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return problem(
            InvalidInput(f"The request is not what was expected: {where}: {first['msg']}.", "GET /openapi.json")
        )

    @app.exception_handler(HTTPException)
    async def routing(_request: Request, error: HTTPException) -> JSONResponse:
        kind = NotFound if error.status_code == 404 else InvalidInput
        return problem(kind(f"{error.detail}.", "GET /openapi.json lists what there is."), error.status_code)

    @app.exception_handler(OSError)
    async def disk(_request: Request, error: OSError) -> JSONResponse:
        return problem(Unavailable(f"The disk of the registry's server does not do what it should: {error.strerror}."))

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return problem(Unavailable("The registry's server has met a fault of its own; its log has more."), 500)
