"""Optional packages: asked for before any work begins."""

from collections.abc import Mapping
from importlib.util import find_spec

from registry.errors import MissingPackage


def require(extra: str, packages: Mapping[str, str]) -> None:
    """Prove, without importing them, that packages are there.

    Args:
        extra: of the distribution ``adaptory`` that brings them.
        packages: module -> what it is called where packages are installed.

    Raises:
        MissingPackage: the first that is not.
    """
    for module, package in packages.items():
        if find_spec(module) is None:
            raise MissingPackage(package, extra)
