"""The real model that other tests run on is the one whose hash is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import VARIABLE, real_gguf


@pytest.mark.real
def test_the_real_model_is_a_gguf_file(smollm2_gguf: Path) -> None:
    with smollm2_gguf.open("rb") as file:
        assert file.read(4) == b"GGUF"


def test_another_file_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash that is not compared lets every figure of a real model come from another one."""
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other.gguf"))
    with pytest.raises(AssertionError, match="another model"):
        real_gguf(tmp_path)
