"""The `openai` backend against llama.cpp's own server on loopback, with a real model, where both are.

The server runs in a process of its own (xllamacpp): a crash of it is a failed test, and its library is not loaded
beside llama-cpp-python's, which has the same symbols.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from ConfigSpace import Configuration

from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.models import LanguageModel, ModelError, load_model
from tests.contract.real_model import GOLDEN, Loading, RealModelContract, exported, run
from tests.contract.test_models import ModelContract

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

SERVE = """
import sys
import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 4096, 1, 1
server = xllamacpp.Server(params)
print("listening at", server.listening_address, flush=True)
sys.stdin.read()
"""


class TestSmolLM2(RealModelContract, ModelContract):
    prompts: ClassVar[Path] = GOLDEN / "smollm2-messages.json"
    level: ClassVar[int] = 0  # without the server

    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        pytest.importorskip("xllamacpp")
        log = tmp_path_factory.mktemp("server") / "log.txt"
        with log.open("w") as written:
            process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(smollm2_gguf)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=written, text=True,
            )  # fmt: skip
            assert process.stdout is not None
            with process:  # which closes its standard input: then it ends
                address = next((x.split()[-1] for x in process.stdout if x.startswith("listening at")), None)
                assert address is not None, log.read_text()[-2000:]
                yield f"{address}/v1"

    @pytest.fixture(scope="class")
    @classmethod
    def loading(cls, url: str) -> Loading:
        # What its cache holds would change the last bits, and how many tokens it says to have found there.
        settings = {"server": "llama.cpp", "base_url": url, "extra": {"cache_prompt": False}}
        return "smollm2", {"backend": "openai", "concurrency": 1, **settings}

    @pytest.fixture(scope="class")
    @classmethod
    def study(cls, loading: Loading, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("study") / "whole.sqlite"
        run(path, load_model(loading[0], record=path.with_suffix(".jsonl"), **loading[1]))
        return path

    def test_answers_are_in_the_grammar(self, model: LanguageModel) -> None:
        for request, answer in zip(self.cases.mixed, model.generate(self.cases.mixed), strict=True):
            Configuration(request.grammar.space, values=request.grammar.decode(answer.text))
            assert answer.finish_reason == "stop"
            assert (answer.prompt_tokens or 0) > 0
            assert answer.details["usage"]["requests"] == 1  # the server kept to the grammar

    def test_prompt_too_long(self, model: LanguageModel) -> None:
        with pytest.raises(ModelError, match="HTTP 400"):
            model.generate([self.cases.one("flat", prompt=self.too_long)])

    def test_a_replay_gives_the_same_bits(self, study: Path) -> None:
        """Level 0: without the server."""
        report = replay(study, options=Options(0))
        assert report.holds, report.json()

    def test_a_recording_gives_the_same_study(self, study: Path, tmp_path: Path) -> None:
        """Where there is no server."""
        run(tmp_path / "replayed.sqlite", load_model(study.with_suffix(".jsonl"), "replay"))
        assert exported(tmp_path / "replayed.sqlite") == exported(study)
