"""Routes of profiles: which set-up serves a base. Saying so decides what the gate asks for, and is for admins."""

from fastapi import APIRouter

from registry.profile import ServingProfile
from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Kept, Reader
from registry.server.fields import Digest, proved_digest

router = APIRouter(route_class=StrictRoute, tags=["profiles"])


@router.post("/profiles", status_code=204)
def add(_caller: Admin, registry: Kept, profile: ServingProfile) -> None:
    """Say that this profile serves its base from now on."""
    proved_digest(profile.base_fingerprint)
    registry.profiles.add(profile)


@router.get("/profiles/{base_fingerprint}")
def serving(_caller: Reader, registry: Kept, base_fingerprint: Digest) -> ServingProfile | None:
    """The profile that serves a base, or served it last; null where none ever did."""
    return registry.profiles.serving(base_fingerprint)
