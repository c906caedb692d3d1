"""One attempt: post a signed event and see what the receiver says."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import httpx

from registry.embedded.deliveries import Claim
from registry.refs import shown
from registry.webhook import signed_headers

TIMEOUT_SECONDS = 10.0
BODY_BYTES = 1024
"""Of a failure's body that are read at most, for people who look for the cause."""

GONE = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it.

    Attributes:
        failure: why it failed, one line; empty where the receiver has taken the event (a status from 200 to 299).
        final: whether the receiver wants no other attempt.
        asked: seconds that it asked to wait, 0 where it did not.
    """

    failure: str = ""
    final: bool = False
    asked: float = 0.0


async def attempt(client: httpx.AsyncClient, claim: Claim, at: datetime, timeout: float = TIMEOUT_SECONDS) -> Answer:
    """Post a delivery once.

    Args:
        client: follows no redirects.
        claim: what to post, and what signs it.
        at: when, for the signature.
        timeout: seconds for everything, however slowly the receiver answers.
    """
    delivery = claim.delivery
    headers = signed_headers(claim.secret, delivery.id, at, delivery.body) | {"content-type": "application/json"}
    try:
        async with (
            asyncio.timeout(timeout),
            client.stream("POST", delivery.url, content=delivery.body, headers=headers) as response,
        ):
            return await _answer(response)
    except TimeoutError:
        return Answer(f"no answer within {timeout:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Answer(f"{type(error).__name__}: {shown(str(error), 200)}")


async def _answer(response: httpx.Response) -> Answer:
    if response.is_success:
        return Answer()
    if response.is_redirect:
        where = shown(response.headers.get("location", ""), 200)
        return Answer(f"answered {response.status_code}, a redirect to {where}; redirects are not followed")
    said = shown((await _beginning(response)).decode("utf-8", "replace").strip(), 200)
    retry_after = response.headers.get("retry-after", "")
    asked = float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 7 else 0.0
    return Answer(f"answered {response.status_code}: {said}", final=response.status_code == GONE, asked=asked)


async def _beginning(response: httpx.Response) -> bytes:
    taken = b""
    async for chunk in response.aiter_raw():  # raw: a small body may unpack to a large one
        taken += chunk
        if len(taken) >= BODY_BYTES:
            break
    return taken[:BODY_BYTES]
