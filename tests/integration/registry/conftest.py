"""The fixtures of the registry's unit tests (a tiny base, adapters for it), and real stores."""

from tests.integration.store_servers import opened, scaled, store_servers, unscaled
from tests.unit.conftest import embedded, empty_folder
from tests.unit.registry.conftest import base, either, make_adapter, open_server, registry

__all__ = [
    "base",
    "either",
    "embedded",
    "empty_folder",
    "make_adapter",
    "open_server",
    "opened",
    "registry",
    "scaled",
    "store_servers",
    "unscaled",
]
