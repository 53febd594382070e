"""Where the `openai` backend may go, and that its key is seen nowhere but in the one header."""

from __future__ import annotations

import base64
import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, StudyFile, Task, export_jsonl
from airtune.grammars import space_grammar
from airtune.models import ModelError, Request, load_model
from tests.servers.fake_openai import FakeServer, echoes, envelope, replies, says, send, serve

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

KEY = "sk-test-0123456789/abc+DEF=xyz"
SPELLINGS = (KEY, KEY[::-1], base64.b64encode(KEY.encode()).decode(), "sk-test-0123456789%2Fabc%2BDEF%3Dxyz")
SPACE = ConfigurationSpace({"C": (0.001, 1000.0), "kernel": ["rbf", "linear"]})
GRAMMAR = space_grammar(SPACE)
REQUEST = Request("Tune:", GRAMMAR, seed=1)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serve() as running:
        running.grammars = [GRAMMAR]
        yield running


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def load(server: FakeServer, kind: str = "openai", **settings: Any) -> Any:
    return load_model("tuner", "openai", base_url=server.url, server=kind, max_retries=0, **settings)


def test_the_key_goes_into_the_header_alone(server: FakeServer) -> None:
    load(server).generate([REQUEST])
    path, headers, body = server.seen[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    del headers["authorization"]
    assert KEY not in json.dumps([path, headers, body])


def test_a_key_goes_only_where_it_was_meant_to(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_API_KEY is set on many machines; a server that is not the service must not be sent it."""
    load(server, "vllm").generate([REQUEST])
    assert "authorization" not in server.seen[-1][1]
    monkeypatch.setenv("LOCAL_KEY", "local-key-1")
    load(server, "vllm", api_key_env="LOCAL_KEY").generate([REQUEST])
    assert server.seen[-1][1]["authorization"] == "Bearer local-key-1"
    load(server, "openai", api_key_env="").generate([REQUEST])
    assert "authorization" not in server.seen[-1][1]


def hidden(text: str) -> bool:
    return not any(spelling in text for spelling in SPELLINGS)


def test_a_key_that_is_echoed_is_in_no_error_and_no_log(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    encoded = base64.b64encode(KEY.encode()).decode()
    for misdeed in (
        echoes,
        replies(KEY.encode(), 500, kind="text/plain"),
        replies(f"<p>{encoded}</p>".encode(), kind="text/html"),
        replies(f'{{"{KEY}": '.encode()),
        says(f"your key is {KEY}"),
        says("x", f"ended by {KEY}"),
        lambda h, b: send(h, envelope(b, None) | {"choices": [{"message": {"refusal": f"not for {KEY}"}}]}),
        replies({"error": KEY}, 401, headers={"X-Echo": "none"}),
    ):
        server.script.extend([misdeed] * 4)
        with pytest.raises(ModelError) as caught:
            load(server).generate([REQUEST])
        server.script.clear()
        assert hidden(f"{caught.value} {caught.value.value!r} {caught.value.allowed} {caught.value!r}")
        chain: BaseException | None = caught.value
        while chain is not None:
            assert hidden(repr(chain))
            chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert hidden(caplog.text)
    assert caplog.records  # the HTTP client does log, only not this


def test_a_key_that_is_echoed_is_in_no_study(server: FakeServer, tmp_path: Path) -> None:
    """Study file, recording and export, byte by byte; the server puts the key wherever it can."""

    def leak(handler: Any, body: dict[str, Any]) -> None:
        reply = envelope(body, f'{KEY} {{"C": {body["seed"] % 900 + 1}, "kernel": "rbf"}} {KEY}')
        reply |= {"model": f"m-{KEY}", "system_fingerprint": KEY}
        send(handler, reply)

    recording, path = tmp_path / "answers.jsonl", tmp_path / "study.sqlite"
    model = load(server, record=recording)
    task = Task("quadratic", SPACE, lambda config: config["C"] ** 2)
    server.script.extend([leak, says(KEY), leak, leak])
    with Study(task, "lm", model=model, path=path) as study:
        study.run(3)
    with StudyFile(path, readonly=True) as opened:
        exported = "".join(export_jsonl(opened, transcripts=True))
    assert "[key]" in exported  # it was there to be taken out
    assert hidden(exported)
    assert hidden(recording.read_text())
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_a_key_is_in_no_representation(server: FakeServer) -> None:
    model = load(server)
    transport = model._transport
    assert hidden(repr(model) + json.dumps(model.manifest()) + repr(vars(model)) + repr(vars(transport)))
    assert hidden(repr(vars(transport._client)))
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
        pickle.dumps(model)


@pytest.mark.parametrize("bad", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_keys_that_are_none(server: FakeServer, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    with pytest.raises(ModelError, match="OPENAI_API_KEY") as caught:
        load(server)
    assert bad.strip() == "" or bad not in str(caught.value)


def test_a_short_key_is_no_secret_and_maims_no_answer(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "rbf")
    server.script.append(says('{"C": 1, "kernel": "rbf"}'))
    (answer,) = load(server).generate([REQUEST])
    assert GRAMMAR.decode(answer.text) == {"C": 1.0, "kernel": "rbf"}


def test_no_server_is_guessed() -> None:
    with pytest.raises(ModelError, match="not told where its server is") as caught:
        load_model("m", "openai", server="openai")
    assert "OPENAI_BASE_URL" in str(caught.value)
    with pytest.raises(ModelError, match="what kind of server"):
        load_model("m", "openai", base_url="http://127.0.0.1:1/v1")


def test_the_url_may_come_from_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
    model = load_model("tuner", "openai", server="vllm")
    assert model.manifest()["base_url"] == server.url
    model.generate([REQUEST])


@pytest.mark.parametrize(
    "host", ["api.openai.com", "10.0.0.3", "gpu-7", "127.0.0.1.evil.example", "localhost.evil.example"]
)
def test_another_machine_needs_leave(host: str) -> None:
    url = f"https://{host}/v1"
    with pytest.raises(ModelError, match=f"{host} is not this machine") as caught:
        load_model("m", "openai", server="openai", base_url=url)
    assert "allow_network=True" in str(caught.value)
    allowed = load_model("m", "openai", server="openai", base_url=url, allow_network=True)
    assert allowed.manifest()["base_url"] == url


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_this_machine_needs_none(host: str) -> None:
    load_model("m", "openai", server="vllm", base_url=f"http://{host}:8000/v1")


def test_a_key_does_not_travel_unencrypted() -> None:
    settings: dict[str, Any] = {"base_url": "http://gpu-7:8000/v1", "allow_network": True}
    with pytest.raises(ModelError, match="unencrypted") as caught:
        load_model("m", "openai", server="openai", **settings)
    assert "ssh -L" in str(caught.value)
    load_model("m", "openai", server="vllm", **settings)  # no key, no secret


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000/v1", "ftp://127.0.0.1/v1", "http://", "http:///v1", "http://127.0.0.1:port/v1",
        "http://user:hunter22@127.0.0.1/v1", "http://127.0.0.1/v1?api-key=hunter22", "http://[::1/v1",
        "http://127.0.0.1/v1\n", "http://127.0.0.1/v\x001", "http://127.0.0.1/\ud800",
    ],
)  # fmt: skip
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ModelError, match="not the plain URL of a server") as caught:
        load_model("m", "openai", server="vllm", base_url=url)
    assert "hunter22" not in str(caught.value)


def test_no_proxy_for_this_machine(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment would see prompts, and answer for the server."""
    with serve() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        load(server, "vllm").generate([REQUEST])
        assert proxy.seen == []
    assert len(server.seen) == 1


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)
    with pytest.raises(ModelError, match="httpx2, which is not installed") as caught:
        load_model("m", "openai", server="vllm", base_url="http://127.0.0.1:1/v1")
    assert "airtune[openai]" in str(caught.value)
