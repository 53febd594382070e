"""The real model that other tests run on is the one whose hash is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real import REQUIRED, VARIABLE, real_gguf

REPO = Path(__file__).resolve().parents[1]


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


@pytest.mark.parametrize(("required", "said"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_skip_is_a_failure_where_the_real_model_is_required(required: str, said: str) -> None:
    """CI would be green without a single test on it."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE} | {REQUIRED: required}
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        [*command, "-k", "is_a_gguf_file"],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in done.stdout
    assert f"{VARIABLE} is not set" in done.stdout
    assert done.returncode == int(required)
