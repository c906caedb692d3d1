"""The gateway: an ASGI application with OpenAI's routes and a few of our own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import AdaptoryError
from registry.refs import shown
from serve.gateway.access import INFER, READ, Access, Caller
from serve.gateway.bodies import Bodies
from serve.gateway.models import list_models, one_model
from serve.gateway.moment import by_engine, gauges, present, released
from serve.gateway.openai_errors import OpenAIError, from_adaptory
from serve.gateway.patience import Patience
from serve.gateway.proxy import Proxy
from serve.place import Place
from serve.replica import Replica

FORWARDED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")


def build(replica: Replica, access: Access, patience: Patience = Patience()) -> Starlette:  # noqa: B008 - frozen
    """The application that serves this replica to whom ``access`` lets in."""
    routes, bodies = Routes(replica), Bodies()

    def guarded(needed: str, answer: Callable[[Request, Caller], Awaitable[Response]]) -> Any:
        async def route(request: Request) -> Response:
            return await answer(request, access.caller(request.scope, needed))

        return route

    return Starlette(
        routes=[
            *(Route(path, Proxy(replica, access, patience, bodies, path), methods=["POST"]) for path in FORWARDED),
            Route("/v1/models", guarded(INFER, routes.models)),
            Route("/v1/models/{model:path}", guarded(INFER, routes.model)),
            Route("/adaptory/profile", guarded(INFER, routes.profile)),
            Route("/healthz", routes.healthz),
            Route("/readyz", routes.readyz),
            Route("/metrics", guarded(READ, routes.metrics)),
        ],
        exception_handlers={AdaptoryError: _adaptory_error, HTTPException: _http_error},
    )


class Routes:
    """The routes that the gateway answers itself."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def models(self, request: Request, caller: Caller) -> Response:  # noqa: ARG002 - a guarded route's signature
        """Everything that the caller can name."""
        listed = list_models(self._replica)
        return JSONResponse(listed | {"data": [entry for entry in listed["data"] if caller.may_name(entry["id"])]})

    async def model(self, request: Request, caller: Caller) -> Response:
        """One of them."""
        model = request.path_params["model"]
        with caller.naming(model):
            return JSONResponse(await one_model(self._replica, model))

    async def profile(self, request: Request, caller: Caller) -> Response:  # noqa: ARG002 - a guarded route's signature
        """The exact set-up that answers here."""
        return JSONResponse(self._replica.profile.to_json())

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """This process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """An engine answers."""
        fleet = self._replica.fleet
        body: dict[str, Any] = {
            "status": "ready" if fleet.ready else "not ready",
            "engines": [_engine(place) for place in fleet.places],
        }
        if self._replica.catalogue.stale:
            body["registry"] = "away"  # why stands in the log: this route needs no key
        return JSONResponse(body, status_code=200 if fleet.ready else 503)

    async def metrics(self, request: Request, caller: Caller) -> Response:  # noqa: ARG002 - a guarded route's signature
        """For Prometheus."""
        metrics = self._replica.metrics
        metrics.note(gauges(self._replica), by_engine(self._replica), present(self._replica))
        metrics.note_releases(released(self._replica))
        return Response(await asyncio.to_thread(metrics.render), media_type=CONTENT_TYPE_LATEST)


def _engine(place: Place) -> dict[str, Any]:
    supervisor = place.supervisor
    told = {"engine": place.number, "ready": supervisor.ready, "restarts": supervisor.restarts}
    return told if supervisor.ready else told | {"doing": supervisor.doing}


async def _adaptory_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - starlette's signature
    assert isinstance(error, AdaptoryError)  # noqa: S101 - the table above says so
    return _response(from_adaptory(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table above says so
    if error.status_code == 404:
        return _response(OpenAIError(404, f"There is no {request.method} {shown(request.scope['path'])} here."))
    return _response(OpenAIError(error.status_code, str(error.detail)))


def _response(error: OpenAIError) -> Response:
    return Response(error.body, error.status, error.headers)
