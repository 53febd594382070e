from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from airtune.models.masks.base import MASK_ENGINES
from airtune.models.masks.vocabulary import Vocabulary, vocabulary_of
from airtune.models.tiny import bpe_tokenizer, byte_tokenizer, save_random_llama


@pytest.fixture(scope="session")
def byte_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_llama(tmp_path_factory.mktemp("bytes"), byte_tokenizer())


@pytest.fixture(scope="session")
def bpe_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_llama(tmp_path_factory.mktemp("bpe"), bpe_tokenizer())


@pytest.fixture(scope="session", params=["bytes", "bpe"])
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    tokenizer = byte_tokenizer() if request.param == "bytes" else bpe_tokenizer()
    return vocabulary_of(tokenizer, width=len(tokenizer) + 7)


@pytest.fixture(params=MASK_ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """These models are tiny: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
