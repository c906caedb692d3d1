"""The gateway: an ASGI application with OpenAI's routes and a few of our own."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import AdaptoryError
from serve.house import House
from serve.models import list_models, one_model
from serve.openai_errors import OpenAIError, from_adaptory
from serve.proxy import Proxy

FORWARDED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")


def build(house: House) -> Starlette:
    """The application that serves this house."""
    routes = Routes(house)
    return Starlette(
        routes=[
            *(Route(path, Proxy(house, path), methods=["POST"]) for path in FORWARDED),
            Route("/v1/models", routes.models),
            Route("/v1/models/{model:path}", routes.model),
            Route("/adaptory/profile", routes.profile),
            Route("/healthz", routes.healthz),
            Route("/readyz", routes.readyz),
            Route("/metrics", routes.metrics),
        ],
        exception_handlers={AdaptoryError: _adaptory_error, HTTPException: _http_error},
    )


class Routes:
    """The routes that the gateway answers itself."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def models(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """Everything that can be named."""
        return JSONResponse(list_models(self._house))

    async def model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(await one_model(self._house, request.path_params["model"]))

    async def profile(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """The exact set-up that answers here."""
        return JSONResponse(self._house.profile.to_json())

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """This process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """The engine answers."""
        supervisor = self._house.supervisor
        body: dict[str, Any] = {"status": "ready" if supervisor.ready else "not ready", "restarts": supervisor.restarts}
        if not supervisor.ready:
            body["doing"] = supervisor.doing
        if self._house.catalogue.stale:
            body["registry"] = self._house.catalogue.stale
        return JSONResponse(body, status_code=200 if supervisor.ready else 503)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """For Prometheus."""
        house = self._house
        state = {
            "engine_ready": float(house.supervisor.ready),
            "engine_restarts": house.supervisor.restarts,
            "requests_inside": house.scheduler.core.inside,
            "requests_waiting": sum(house.scheduler.core.waiting.values()),
            "adapters_waiting": len(house.scheduler.core.waiting),
            "slots_taken": len(house.scheduler.core.active),
            "adapters_loaded": len(house.residency.loaded),
            "adapter_loads": house.residency.loads,
            "adapter_evictions": house.residency.evictions,
            "registry_stale": float(bool(house.catalogue.stale)),
        }
        return Response(house.metrics.render(state), media_type=CONTENT_TYPE_LATEST)


async def _adaptory_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - starlette's signature
    assert isinstance(error, AdaptoryError)  # noqa: S101 - the table above says so
    return _response(from_adaptory(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table above says so
    if error.status_code == 404:
        return _response(OpenAIError(404, f"There is no {request.method} {request.url.path[:200]} here."))
    return _response(OpenAIError(error.status_code, str(error.detail)))


def _response(error: OpenAIError) -> Response:
    return Response(error.body, error.status, error.headers)
