"""`airtune tune --backend openai`: a study with a served model, what it took, where it stops, and its replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_socket import disable_socket

from airtune.grammars import read_space, space_grammar
from tests.e2e.conftest import Folder
from tests.servers.fake_openai import FakeServer, echoes, replies, says, serve

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KEY = "sk-test-abcdefghijklmnop"


@pytest.fixture
def server(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    folder.write(
        "objective.py", "def loss(config):\n    return (config['x'] - 0.3) ** 2 + config['n'] / 64\n"
    )
    folder.write("prices.toml", 'currency = "EUR"\n[tuner]\nprompt = 2.0\ncompletion = 10.0\n')
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve() as running:
        running.grammars = [space_grammar(read_space(folder.path / "space.json"))]
        yield running


def tune(
    folder: Folder,
    *settings: str,
    code: int = 0,
    proposer: str = "lm",
    study: str = "s.sqlite",
    budget: int = 4,
) -> Any:
    """One command; its outcome."""
    given = [part for setting in settings for part in ("--model-setting", setting)]
    return folder.call(
        "tune", "--space", "space.json", "--objective", "objective:loss", "--no-progress", "--proposer", proposer,
        "--budget", str(budget), "--study", study, "--backend", "openai", "--model", "tuner", *given, code=code,
    )  # fmt: skip


def replay(
    folder: Folder, *more: str, proposer: str = "lm", study: str = "again.sqlite", code: int = 0
) -> Any:
    return folder.call(
        "tune", "--space", "space.json", "--objective", "objective:loss", "--no-progress", "--proposer", proposer,
        "--budget", "4", "--study", study, "--backend", "replay", "--model", "answers.jsonl", *more, code=code,
    )  # fmt: skip


def shown(folder: Folder) -> Any:
    """The one study of the file as `airtune show --json` has it."""
    (listed,) = folder.call("show", "s.sqlite", "--json").json["studies"]
    return folder.call("show", "s.sqlite", "--study-name", listed["name"], "--json").json


@pytest.mark.parametrize("proposer", ["lm", "lm+gp"])
@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_a_replay_gives_the_same_study_byte_for_byte(
    folder: Folder, server: FakeServer, monkeypatch: pytest.MonkeyPatch, kind: str, proposer: str
) -> None:
    """With failures, refused answers, prices: everything that was received is replayed, without network or key."""
    server.script.extend(
        [replies({}, 500, headers={"retry-after-ms": "0"}), says("what?"), says("{}", "length")]
    )
    tune(
        folder, f"server={kind}", f"base_url={server.url}", "prices=prices.toml", "record=answers.jsonl",
        "concurrency=1", proposer=proposer,
    )  # fmt: skip
    first = folder.call("export", "s.sqlite", "--no-times").out
    monkeypatch.delenv("OPENAI_API_KEY")
    disable_socket(allow_unix_socket=True)
    asked = len(server.seen)
    replay(folder, proposer=proposer)
    assert folder.call("export", "again.sqlite", "--no-times").out == first
    assert len(server.seen) == asked
    assert '"failures": ["HTTP 500' in first
    assert '"cost"' in first


def test_a_replay_has_nothing_but_the_recording(folder: Folder, server: FakeServer) -> None:
    tune(folder, "server=vllm", f"base_url={server.url}", "record=answers.jsonl")
    said = replay(folder, "--seed", "1", code=2).err
    assert "this request was not recorded" in said


def test_tokens_and_cost_are_told(folder: Folder, server: FakeServer) -> None:
    """Each answer of this server takes 10 and 5 tokens; three of seven were refused, and paid for."""
    server.script.extend([says("no"), says("no")])
    said = tune(folder, "server=openai", f"base_url={server.url}", "prices=prices.toml", budget=4).out
    line = "server: 7 requests, 70 prompt and 35 completion tokens, cost 0.00049 EUR"
    assert line in said
    assert line in folder.call("show", "s.sqlite").out
    usage = shown(folder)["usage"]
    assert usage["cost"] == pytest.approx((70 * 2 + 35 * 10) / 1e6)
    assert usage | {"cost": 0} == {
        "requests": 7, "prompt_tokens": 70, "completion_tokens": 35, "cost": 0, "currency": "EUR",
    }  # fmt: skip


def test_a_limit_stops_clearly_and_the_study_goes_on_later(folder: Folder, server: FakeServer) -> None:
    settings = ["server=openai", f"base_url={server.url}"]
    stopped = tune(folder, *settings, "max_requests=3", budget=6, code=1)
    assert "max_requests is reached: 3 requests, 45 tokens were used; nothing more is sent" in stopped.err
    assert "goes on" in stopped.err
    assert len(shown(folder)["trials"]) == 3
    tune(folder, *settings, "max_requests=10", budget=6)
    whole = folder.call("export", "s.sqlite", "--no-times").out
    tune(folder, *settings, budget=6, study="other.sqlite")
    assert folder.call("export", "other.sqlite", "--no-times").out == whole
    assert len(server.seen) == 12


def test_a_server_that_fails_ends_the_run_and_loses_nothing(folder: Folder, server: FakeServer) -> None:
    settings = ["server=vllm", f"base_url={server.url}", "max_retries=0"]
    tune(folder, *settings, budget=2)
    server.script.append(replies({"error": "out of memory"}, 500))
    failed = tune(folder, *settings, code=1)
    assert "out of memory" in failed.err
    assert "the same command again goes on" in failed.err
    tune(folder, *settings)
    assert len(shown(folder)["trials"]) == 4


def test_the_key_is_in_nothing_that_is_written(folder: Folder, server: FakeServer) -> None:
    settings = ["server=openai", f"base_url={server.url}", "record=answers.jsonl"]
    tune(folder, *settings)
    server.script.append(echoes)
    refused = tune(folder, *settings, budget=5, code=1)
    assert "[key]" in refused.err
    texts = [refused.err, folder.call("show", "s.sqlite").out, folder.call("export", "s.sqlite").out]
    assert not any(KEY in text for text in texts)
    assert not any(KEY.encode() in file.read_bytes() for file in folder.path.iterdir() if file.is_file())
    assert server.seen[0][1]["authorization"] == f"Bearer {KEY}"


def test_settings_of_models_that_are_wrong(folder: Folder, server: FakeServer) -> None:
    assert "not KEY=VALUE" in tune(folder, "server", code=2).err
    assert "given twice" in tune(folder, "server=vllm", "server=vllm", code=2).err
    assert "did you mean 'vllm'" in tune(folder, "server=vlm", f"base_url={server.url}", code=2).err
    unknown = tune(folder, "server=vllm", f"base_url={server.url}", "temprature=1", code=2).err
    assert "temprature" in unknown
    remote = tune(folder, "server=vllm", "base_url=http://192.0.2.1/v1", code=2).err
    assert "--allow-network" in remote
    local = folder.call("tune", "sklearn/svm/iris", "--allow-network", code=2).err
    assert "--allow-network has no effect" in local
    none = folder.call("tune", "sklearn/svm/iris", "--proposer", "tpe", "--model-setting", "a=b", code=2).err
    assert "--model-setting a=b has no effect" in none


def test_prompts_on_the_chat_endpoint_are_messages(folder: Folder, server: FakeServer) -> None:
    tune(folder, "server=vllm", f"base_url={server.url}", "dialect=chat+history=turns", budget=2)
    path, _, body = server.seen[-1]
    assert path == "/v1/chat/completions"
    assert len(body["messages"]) > 1
    assert {message["role"] for message in body["messages"]} <= {"system", "user", "assistant"}
    exported = folder.call("export", "s.sqlite", "--no-times").out.splitlines()[-1]
    assert json.loads(json.loads(exported)["transcript"]["prompt"]) == body["messages"]
