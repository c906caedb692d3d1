"""The gateway before a real vLLM: what clients see."""

import asyncio
import dataclasses
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import httpx
import openai
import psutil
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from registry.version import AdapterVersion
from tests.integration.serve_fixtures import BASE, NO, YES, Server, Workshop, wait_for

HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello, who are you?"}]
TOKENS = 6


@pytest.fixture(scope="module")
def versions(workshop: Workshop) -> tuple[AdapterVersion, AdapterVersion]:
    return workshop.push("parrot", YES), workshop.push("parrot", NO)


def ask(client: OpenAI, model: str, tokens: int = TOKENS) -> str:
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=tokens, temperature=0)
    assert answer.model == model
    return str(answer.choices[0].message.content)


def ask_streamed(client: OpenAI, model: str, tokens: int = TOKENS) -> str:
    words = []
    stream = client.chat.completions.create(
        model=model, messages=HELLO, max_tokens=tokens, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    for chunk in stream:
        assert chunk.model == model
        words += [choice.delta.content or "" for choice in chunk.choices]
    assert chunk.usage
    assert chunk.usage.completion_tokens == tokens
    return "".join(words)


def wait_until_serving(server: Server, model: str, version: AdapterVersion) -> None:
    wait_for(lambda: server.models()[model]["adaptory"]["digest"] == version.digest)


def wait_for_more(answers: list[str], failures: list[Exception]) -> None:
    enough = len(answers) + 4
    wait_for(lambda: failures or len(answers) > enough)


def test_the_base_and_each_version_answer_to_their_names(
    server: Server, versions: tuple[AdapterVersion, AdapterVersion]
) -> None:
    client = server.client
    for model, text in ((str(versions[0]), YES * TOKENS), (str(versions[1]), NO * TOKENS)):
        assert ask(client, model) == text
        assert ask_streamed(client, model) == text
    assert ask_streamed(client, BASE) == ask(client, BASE)
    assert ask(client, BASE) not in {YES * TOKENS, NO * TOKENS}


def test_headers_prove_what_answered(
    server: Server, workshop: Workshop, versions: tuple[AdapterVersion, AdapterVersion]
) -> None:
    profile = httpx.get(f"{server.url}/adaptory/profile").json()
    assert workshop.registry.profiles.serving(workshop.base.fingerprint).fingerprint == profile["fingerprint"]  # type: ignore[union-attr]
    for model, version, digest in (
        (f"parrot@{versions[0].digest}", "parrot:1", versions[0].digest),
        (BASE, None, workshop.base.fingerprint),
    ):
        raw = server.client.completions.with_raw_response.create(model=model, prompt="Hi", max_tokens=1)
        assert raw.headers.get("x-adaptory-version") == version
        assert raw.headers["x-adaptory-digest"] == digest
        assert raw.headers["x-adaptory-profile"] == profile["fingerprint"]
        assert raw.headers["x-request-id"]


def test_a_version_pushed_while_serving_is_callable_at_once(server: Server, workshop: Workshop) -> None:
    version = workshop.push("latecomer", YES)
    assert ask(server.client, "latecomer:1") == YES * TOKENS
    entry = server.models()[str(version)]
    assert entry["adaptory"] == {
        "digest": version.digest, "version": "latecomer:1", "alias": None, "base": BASE,
        "loaded": True, "engines": [0], "on_disk": True, "pinned": False,
    }  # fmt: skip


def test_the_base_is_itself_beside_adapters(server: Server, versions: tuple[AdapterVersion, AdapterVersion]) -> None:
    """vLLM 0.32 on the CPU gives a base row the last slot's adapter when it shares a batch with an adapter's row."""
    alone = ask(server.client, BASE)
    models = [BASE, str(versions[0]), str(versions[1])] * 4
    expected = {BASE: alone, str(versions[0]): YES * TOKENS, str(versions[1]): NO * TOKENS}
    with ThreadPoolExecutor(len(models)) as pool:
        answers = list(pool.map(lambda model: ask(server.client, model), models))
    assert answers == [expected[model] for model in models]


def test_more_adapters_than_slots_are_all_served(server: Server, workshop: Workshop) -> None:
    pushed = [workshop.push(f"crowd-{number}", YES if number % 2 else NO) for number in range(5)]

    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        answer = await client.completions.create(model=str(pushed[number]), prompt="Say", max_tokens=4, temperature=0)
        return answer.choices[0].text

    async def everyone() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number % 5) for number in range(15)))

    assert asyncio.run(everyone()) == [(YES if number % 5 % 2 else NO) * 4 for number in range(15)]


def test_prompt_logprobs_beside_others_harm_nobody(server: Server, versions: tuple[AdapterVersion, ...]) -> None:
    """vLLM 0.32 ends here when it wraps the vocabulary's projection for LoRA, which we tell it not to."""
    models = [str(versions[0]), BASE, str(versions[1])]

    async def one(client: openai.AsyncOpenAI, number: int) -> int:
        answer = await client.completions.create(
            model=models[number % 3], prompt="one two three " * (1 + number % 4), max_tokens=4, echo=True, logprobs=1
        )
        assert answer.choices[0].logprobs
        return len(answer.choices[0].logprobs.token_logprobs or ())

    async def everyone() -> list[int]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(12)))

    assert min(asyncio.run(everyone())) > 4
    assert server.ready


def test_an_unknown_name_says_what_there_is(server: Server, versions: object) -> None:  # noqa: ARG001 - has to be there
    with pytest.raises(openai.NotFoundError) as caught:
        ask(server.client, "parot:1")
    assert caught.value.code == "model_not_found"
    assert "There is parrot" in caught.value.message


def test_an_adapter_of_another_base_is_a_404_that_says_so(server: Server, workshop: Workshop) -> None:
    other = dataclasses.replace(workshop.base, name="other-base", quantization="other")
    folder = workshop.parrots.write(workshop.work / "foreign", YES)
    workshop.registry.versions.push(folder, "foreign", actor="test", base=other)
    with pytest.raises(openai.NotFoundError, match="foreign:1 is an adapter of the base other-base"):
        ask(server.client, "foreign:1")
    assert not any("foreign" in model for model in server.models())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"model": 7}', 400),
        (json.dumps({"model": BASE, "messages": "no"}).encode(), 400),
        (b'{"model": "' + b"x" * (17 << 20) + b'"}', 413),
    ],
)
def test_bad_bodies_are_the_client_s_errors(server: Server, body: bytes, status: int) -> None:
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body, timeout=60)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "model",
    ["/etc", "../../etc/passwd", "parrot/../../etc", "file:///etc/passwd", "sha256-" + "0" * 64, "parrot:1\u0000",
     "parrot:1/..", "parrot:01", "PARROT:1", " parrot:1", "\ud800"],
)  # fmt: skip
def test_no_trick_in_a_name_reaches_the_engine(server: Server, model: str) -> None:
    before = server.engine_requests()
    body = json.dumps({"model": model, "messages": HELLO})
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert server.engine_requests() == before


def test_the_engine_s_own_name_for_an_adapter_is_no_name(
    server: Server, versions: tuple[AdapterVersion, AdapterVersion]
) -> None:
    ask(server.client, str(versions[0]))
    with pytest.raises(openai.NotFoundError):
        ask(server.client, versions[0].digest.replace(":", "-"))


def test_ten_thousand_bogus_names_leave_nothing(server: Server) -> None:
    assert server.process
    gateway, before = psutil.Process(server.process.pid), server.engine_requests()

    async def one(session: aiohttp.ClientSession, number: int) -> int:
        body = {"model": f"bogus-{number}:1", "messages": []}
        async with session.post(f"{server.url}/v1/chat/completions", json=body) as answer:
            return answer.status

    async def flood(first: int) -> set[int]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=128)) as session:
            return set(await asyncio.gather(*(one(session, number) for number in range(first, first + 2_500))))

    files, memory = gateway.num_fds(), [gateway.memory_info().rss]
    for first in range(0, 12_500, 2_500):
        assert asyncio.run(flood(first)) == {404}
        memory.append(gateway.memory_info().rss)
    growth = sorted(after - earlier for earlier, after in itertools.pairwise(memory))
    assert growth[2] < 1 << 20, growth  # the allocator may take more once; what leaks takes more each time
    wait_for(lambda: gateway.num_fds() <= files + 4, 60)  # it closes its side of a connection a moment later
    assert server.engine_requests() == before


def test_an_adapter_that_changes_nothing_is_refused(server: Server, workshop: Workshop) -> None:
    workshop.push("silent", None)
    with pytest.raises(openai.UnprocessableEntityError, match="changes nothing") as caught:
        ask(server.client, "silent:1")
    assert caught.value.code == "adapter_refused"


def test_a_client_that_leaves_frees_the_engine(server: Server) -> None:
    stream = server.client.chat.completions.create(model=BASE, messages=HELLO, max_tokens=400, stream=True,
                                                   extra_body={"ignore_eos": True})  # fmt: skip
    next(iter(stream))
    assert server.engine_running() == 1
    stream.close()
    wait_for(lambda: server.engine_running() == 0)


def test_an_alias_flips_under_traffic_without_a_failure_or_a_mixed_answer(
    server: Server, workshop: Workshop, versions: tuple[AdapterVersion, AdapterVersion]
) -> None:
    workshop.promote(versions[0], "live")
    ask(server.client, "parrot@live")
    answers: list[str] = []
    failures: list[Exception] = []
    stop = threading.Event()

    def traffic() -> None:
        client = server.client
        while not stop.is_set():
            try:
                answers.append(ask_streamed(client, "parrot@live", TOKENS))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                failures.append(error)
                return

    threads = [threading.Thread(target=traffic) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (versions[1], versions[0], versions[1]):
        workshop.promote(version, "live")
        wait_until_serving(server, "parrot@live", version)
        wait_for_more(answers, failures)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(answers) == {YES * TOKENS, NO * TOKENS}
    assert ask(server.client, "parrot@live") == NO * TOKENS


def test_an_alias_stays_when_its_new_version_cannot_serve(
    server: Server, workshop: Workshop, versions: tuple[AdapterVersion, AdapterVersion]
) -> None:
    workshop.promote(versions[0], "steady")
    assert ask(server.client, "parrot@steady") == YES * TOKENS
    workshop.promote(workshop.push("parrot", None), "steady")
    wait_for(lambda: "failure" in server.models()["parrot@steady"]["adaptory"])
    assert "changes nothing" in server.models()["parrot@steady"]["adaptory"]["failure"]
    assert ask(server.client, "parrot@steady") == YES * TOKENS


def test_the_access_log_and_the_metrics_know_the_requests(
    server: Server, workshop: Workshop, versions: tuple[AdapterVersion, AdapterVersion]
) -> None:
    headers = {"x-request-id": "mine-42"}
    server.client.completions.create(model="parrot:1", prompt="Hi", max_tokens=3, extra_headers=headers)
    log = workshop.settings.home / "logs" / "access.jsonl"
    (entry,) = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if "mine-42" in line]
    assert (entry["version"], entry["digest"]) == ("parrot:1", versions[0].digest)
    assert (entry["status"], entry["tokens_out"]) == (200, 3)
    assert 'adaptory_requests_total{adapter="parrot:1",status="200"}' in httpx.get(f"{server.url}/metrics").text
