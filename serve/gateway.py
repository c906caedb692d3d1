"""The gateway: an ASGI application with OpenAI's routes and a few of our own."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import AdaptoryError
from serve.models import list_models, one_model
from serve.openai_errors import OpenAIError, from_adaptory
from serve.proxy import Proxy
from serve.replica import Replica

FORWARDED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")


def build(replica: Replica) -> Starlette:
    """The application that serves this replica."""
    routes = Routes(replica)
    return Starlette(
        routes=[
            *(Route(path, Proxy(replica, path), methods=["POST"]) for path in FORWARDED),
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

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def models(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """Everything that can be named."""
        return JSONResponse(list_models(self._replica))

    async def model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(await one_model(self._replica, request.path_params["model"]))

    async def profile(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """The exact set-up that answers here."""
        return JSONResponse(self._replica.profile.to_json())

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """This process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """The engine answers."""
        supervisor = self._replica.supervisor
        body: dict[str, Any] = {"status": "ready" if supervisor.ready else "not ready", "restarts": supervisor.restarts}
        if not supervisor.ready:
            body["doing"] = supervisor.doing
        if self._replica.catalogue.stale:
            body["registry"] = self._replica.catalogue.stale
        return JSONResponse(body, status_code=200 if supervisor.ready else 503)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        """For Prometheus."""
        replica = self._replica
        state = {
            "engine_ready": float(replica.supervisor.ready),
            "engine_restarts": replica.supervisor.restarts,
            "requests_inside": replica.scheduler.core.inside,
            "requests_waiting": sum(replica.scheduler.core.waiting.values()),
            "adapters_waiting": len(replica.scheduler.core.waiting),
            "slots_taken": len(replica.scheduler.core.active),
            "adapters_loaded": len(replica.residency.loaded),
            "adapter_loads": replica.residency.loads,
            "adapter_evictions": replica.residency.evictions,
            "registry_stale": float(bool(replica.catalogue.stale)),
        }
        return Response(replica.metrics.render(state), media_type=CONTENT_TYPE_LATEST)


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
