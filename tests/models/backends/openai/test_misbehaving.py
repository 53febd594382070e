"""The `openai` backend against a server that does everything wrong: bounded retries, then an error that says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.grammars import space_grammar
from airtune.models import ModelError, Request, load_model
from airtune.models.backends.openai.backend import OpenAIModel, attempt_seed
from tests.servers.fake_openai import (
    Clock,
    FakeServer,
    Misdeed,
    drips,
    envelope,
    floods,
    hangs,
    hangs_up,
    replies,
    says,
    send,
    serve,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

GRAMMAR = space_grammar(ConfigurationSpace({"C": (0.001, 1000.0), "kernel": ["rbf", "linear"]}))
REQUEST = Request("Tune:", GRAMMAR, seed=1)
GOOD = GRAMMAR.encode(GRAMMAR.snap({"C": 1.0, "kernel": "rbf"}))


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeServer]:
    with serve() as running:
        yield running


@pytest.fixture
def server(shared: FakeServer) -> FakeServer:
    shared.script.clear()
    shared.seen.clear()
    return shared


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., OpenAIModel]


@pytest.fixture
def make(server: FakeServer, clock: Clock) -> Make:
    def build(kind: str = "vllm", **settings: Any) -> OpenAIModel:
        model = load_model(
            "tuner", "openai", base_url=server.url, server=kind, clock=clock, sleep=clock.sleep, **settings
        )
        assert isinstance(model, OpenAIModel)
        return model

    return build


PASSING: dict[str, tuple[Misdeed, str]] = {
    "500": (replies({"error": "boom"}, 500), "HTTP 500"),
    "503 without JSON": (replies(b"<h1>busy</h1>", 503, kind="text/html"), "HTTP 503"),
    "429": (replies({"error": {"message": "slow down"}}, 429), "HTTP 429"),
    "hangs up": (hangs_up, "RemoteProtocolError"),
    "truncated JSON": (replies(b'{"choices": [{"text": "{\\"C\\"'), "broken JSON of 29 bytes"),
    "not an object": (replies([1, 2]), "JSON that is no object"),
    "deep JSON": (replies(b"[" * 100_000), "broken JSON"),
}


@pytest.mark.parametrize("what", PASSING)
def test_what_passes_is_tried_again(server: FakeServer, make: Make, clock: Clock, what: str) -> None:
    misdeed, said = PASSING[what]
    server.script.extend([misdeed, misdeed])
    (answer,) = make().generate([REQUEST])
    GRAMMAR.decode(answer.text)
    assert len(server.seen) == 3
    assert [body["seed"] for _, _, body in server.seen] == [1, 1, 1]  # the same request, not another attempt
    assert len(answer.details["failures"]) == 2
    assert all(said in one for one in answer.details["failures"])
    assert answer.details["usage"]["requests"] == 3
    assert 0.25 <= clock.slept[0] <= 0.5 <= clock.slept[1] <= 1.0


@pytest.mark.parametrize("what", PASSING)
def test_what_does_not_pass_is_an_error(server: FakeServer, make: Make, clock: Clock, what: str) -> None:
    misdeed, said = PASSING[what]
    server.script.extend([misdeed] * 3)
    with pytest.raises(ModelError, match=f"gave no answer in 3 tries: .*{said}"):
        make(max_retries=2).generate([REQUEST])
    assert len(clock.slept) == 2


def test_jitter_is_seeded(server: FakeServer, make: Make, clock: Clock) -> None:
    waits = []
    for seed in (1, 1, 2):
        server.script.extend([replies({}, 500)] * 2)
        clock.slept.clear()
        make().generate([Request("Tune:", GRAMMAR, seed)])
        waits.append(list(clock.slept))
    assert waits[0] == waits[1] != waits[2]


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": formatdate(1_800_000_030, usegmt=True)}, 30.0),
        ({"retry-after-ms": "2500", "Retry-After": "9"}, 2.5),
    ],
)
def test_retry_after_is_kept(
    server: FakeServer, make: Make, clock: Clock, headers: dict[str, str], waited: float
) -> None:
    server.script.append(replies({"error": "slow down"}, 429, headers=headers))
    make().generate([REQUEST])
    assert clock.slept == [waited]


@pytest.mark.parametrize("nonsense", ["soon", "-3", "", "1e999", "Mon, 99 Foo 2026 99:99:99 GMT"])
def test_retry_after_that_is_nonsense(server: FakeServer, make: Make, clock: Clock, nonsense: str) -> None:
    server.script.append(replies({}, 429, headers={"Retry-After": nonsense}))
    make().generate([REQUEST])
    assert len(clock.slept) == 1
    assert 0.25 <= clock.slept[0] <= 0.5


def test_a_server_that_asks_for_hours_is_an_error(server: FakeServer, make: Make, clock: Clock) -> None:
    server.script.append(replies({}, 503, headers={"Retry-After": "86400"}))
    with pytest.raises(ModelError, match="asks to wait 86400 s"):
        make().generate([REQUEST])
    assert clock.slept == []


def test_a_used_up_account_is_not_a_passing_fault(server: FakeServer, make: Make, clock: Clock) -> None:
    server.script.append(replies({"error": {"code": "insufficient_quota"}}, 429))
    with pytest.raises(ModelError, match="refused") as caught:
        make().generate([REQUEST])
    assert "billing" in str(caught.value)
    assert clock.slept == []


def test_a_server_that_hangs(server: FakeServer, make: Make) -> None:
    server.script.extend([hangs(server)] * 2)
    with pytest.raises(ModelError, match=r"2 tries: no answer within 0\.1 s"):
        make(timeout_s=0.1, max_retries=1).generate([REQUEST])


def test_a_server_that_drips(server: FakeServer, make: Make) -> None:
    """Every byte comes within the time limit; the answer does not."""
    server.script.append(drips(server))
    with pytest.raises(ModelError, match=r"not complete within 0\.2 s"):
        make(timeout_s=0.2, max_retries=0).generate([REQUEST])


def test_nobody_there(make: Make, clock: Clock) -> None:
    with serve() as gone:
        url = gone.url
    model = load_model(
        "m", "openai", base_url=url, server="vllm", clock=clock, sleep=clock.sleep, max_retries=2
    )
    with pytest.raises(ModelError, match="3 tries: ConnectError"):
        model.generate([REQUEST])


@pytest.mark.parametrize(
    ("misdeed", "said", "fix"),
    [
        (floods, "more than 16777216 bytes", "base_url"),
        (replies(b"<html>portal</html>", kind="text/html"), "answered text/html, not JSON: <html>portal", "/v1"),
        (replies({}, kind=""), "without a content type", "/v1"),
        (replies({}, 302, headers={"Location": "https://elsewhere.example/"}), "HTTP 302", "redirects"),
        (replies({"error": "no"}, 401), "HTTP 401", "api_key_env"),
        (replies({"error": "no"}, 403), "HTTP 403", "right"),
        (replies({"error": "context is 4096 tokens"}, 400), "context is 4096 tokens", "what the server says"),
    ],
)  # fmt: skip
def test_what_will_not_pass_is_an_error_at_once(
    server: FakeServer, make: Make, clock: Clock, misdeed: Misdeed, said: str, fix: str
) -> None:
    server.script.append(misdeed)
    with pytest.raises(ModelError, match=said) as caught:
        make().generate([REQUEST])
    assert fix in str(caught.value)
    assert len(server.seen) == 1
    assert clock.slept == []


def test_an_unknown_model_names_those_that_are_served(server: FakeServer, make: Make) -> None:
    server.script.append(replies({"error": {"message": "The model `tuner` does not exist."}}, 404))
    with pytest.raises(ModelError, match="does not exist") as caught:
        make().generate([REQUEST])
    assert "other-model, tuner" in str(caught.value)


BAD_ANSWERS = {
    "no choices": (lambda h, b: send(h, envelope(b, "") | {"choices": []}), "it ended with 'no choices'"),
    "choices of a wrong type": (replies({"choices": "yes"}), "it ended with 'no choices'"),
    "an empty object": (replies({}), "it ended with 'no choices'"),
    "cut off": (says(GOOD[:9], "length"), "it ended with 'length'"),
    "cut off, though whole": (says(GOOD, "length"), "it ended with 'length'"),
    "filtered": (says(GOOD, "content_filter"), "content_filter"),
    "an end of no kind": (says(GOOD, None), "none given"),
    "empty": (says(""), "it is empty"),
    "blank": (says(" \n"), "it is empty"),
    "null": (says(None), "it is empty"),
    "a number": (says(17), "it is empty"),
    "prose": (says("I would try C = 1."), ""),
    "out of range": (says('{"C":1.00e6,"kernel":"rbf"}'), ""),
    "another kernel": (says('{"C":1.00e0,"kernel":"poly"}'), ""),
    "surrogates": (says('{"C":"\ud800"}'), ""),
}


@pytest.mark.parametrize("kind", ["vllm", "openai", "other"])
@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_unusable_answers_are_asked_again_then_an_error(
    server: FakeServer, make: Make, clock: Clock, what: str, kind: str
) -> None:
    misdeed, said = BAD_ANSWERS[what]
    server.script.extend([misdeed, misdeed, says(GOOD)])
    (answer,) = make(kind, api_key_env="").generate([REQUEST])
    assert answer.text == GOOD
    assert [body["seed"] for _, _, body in server.seen] == [
        attempt_seed(1, k) & (2**63 - 1 if kind == "vllm" else 2**31 - 1) for k in range(3)
    ]
    assert len(answer.details["rejected"]) == 2
    assert all(said in one["reason"] for one in answer.details["rejected"])
    server.script.extend([misdeed] * 3)
    with pytest.raises(ModelError, match="no usable answer in 3 attempts") as caught:
        make(kind, api_key_env="", attempts=3).generate([REQUEST])
    assert said in str(caught.value)
    assert clock.slept == []


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"C": 1.0, "kernel": "rbf"}\n```',
        'Small C underfits, so {"C": 10} was bad. I choose:\n{"kernel": "rbf",\n "C": 1}\nGood luck!',
        '{"C": 1.0000001, "kernel": "rbf"}',
        f"  {GOOD}\n",
    ],
)
def test_what_chat_models_write_around_an_answer(server: FakeServer, make: Make, text: str) -> None:
    server.script.append(says(text))
    (answer,) = make("other").generate([REQUEST])
    assert answer.text == GOOD
    assert answer.details["answer"] == text
    assert "rejected" not in answer.details


def test_repeats_are_refused(server: FakeServer, make: Make) -> None:
    grammar = space_grammar(GRAMMAR.space, [{"C": 1.0, "kernel": "rbf"}])
    server.script.extend([says('{"C": 1.0004, "kernel": "rbf"}'), says('{"C": 1.2, "kernel": "rbf"}')])
    (answer,) = make("other").generate([Request("Tune:", grammar, 1)])
    assert grammar.decode(answer.text) == {"C": 1.2, "kernel": "rbf"}
    assert "was tried already" in answer.details["rejected"][0]["reason"]


def test_a_server_that_ignores_the_grammar_is_found_out(server: FakeServer, make: Make) -> None:
    """Its answer could be read as JSON; but a server that was given the grammar must keep to it."""
    server.script.extend([says('{"kernel": "rbf", "C": 1}')] * 4)
    with pytest.raises(ModelError, match="no usable answer") as caught:
        make().generate([REQUEST])
    assert "constraint=" in str(caught.value)


@pytest.mark.parametrize(
    "logprobs",
    [{"token_logprobs": [None, -1.0]}, {"token_logprobs": ["x"]}, {"content": [{}]}, [], "x", {"token_logprobs": []}],
)  # fmt: skip
def test_log_probabilities_that_are_none(server: FakeServer, make: Make, logprobs: Any) -> None:
    def misdeed(handler: Any, body: dict[str, Any]) -> None:
        reply = envelope(body, GOOD)
        reply["choices"][0] |= {"logprobs": logprobs, "token_ids": [1, -2]}
        send(handler, reply)

    server.script.append(misdeed)
    (answer,) = make().generate([REQUEST])
    assert answer.logprobs is None
    assert answer.token_ids is None


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": "9"}, {"prompt_tokens": -1, "completion_tokens": True}]
)
def test_usage_that_is_not_told(server: FakeServer, make: Make, usage: Any) -> None:
    server.script.append(lambda h, b: send(h, envelope(b, GOOD) | {"usage": usage}))
    (answer,) = make().generate([REQUEST])
    assert answer.prompt_tokens is None
    assert answer.details["usage"]["completion_tokens"] is None


def test_a_batch_that_fails_keeps_what_was_answered(server: FakeServer, make: Make) -> None:
    requests = [Request("Tune:", GRAMMAR, seed) for seed in range(4)]
    server.script.extend([says(GOOD), says(GOOD), replies({}, 400)])
    with pytest.raises(ModelError, match="HTTP 400") as caught:
        make(concurrency=1).generate(requests)
    assert [request for request, _ in caught.value.answered] == requests[:2]
    assert len(server.seen) == 3


def test_a_batch_in_threads_that_fails(server: FakeServer, make: Make) -> None:
    def judge(handler: Any, body: dict[str, Any]) -> None:
        send(handler, envelope(body, GOOD)) if body["seed"] != 5 else send(handler, {}, 400)

    server.script.extend([judge] * 20)
    with pytest.raises(ModelError, match="HTTP 400") as caught:
        make(concurrency=4).generate([Request("Tune:", GRAMMAR, seed) for seed in range(20)])
    answered = [request.seed for request, _ in caught.value.answered]
    assert 5 not in answered
    assert len(answered) == len(server.seen) - 1
