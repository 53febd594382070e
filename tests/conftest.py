"""What every test runs under: no network, whatever a library tries."""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket

from tests.real import REQUIRED, real_checkpoint, real_gguf, required


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Sockets raise in the tests' process. Unix sockets stay: worker processes are spoken to through them.

    Tests of servers are marked `allow_hosts(["127.0.0.1"])`; pytest-socket then lets them connect there alone.
    """
    if item.get_closest_marker("allow_hosts"):
        enable_socket()
    else:
        disable_socket(allow_unix_socket=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the real model is required, a skip of its tests is a failure."""
    report = yield
    if report.skipped and required() and item.get_closest_marker("real"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but {REQUIRED} is set: {report.longrepr}"
    return report


# How long an example takes says how busy the machine is.
settings.register_profile("airtune", deadline=None)
settings.load_profile("airtune")

# A shell that runs the tests in the background has them ignore Ctrl-C, and all that they start inherits that; tests
# of Ctrl-C would then wait for ever. Python's own handler back in place: children start with the default again.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def smollm2_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of a real model; without one (`tests.real`) the test is skipped. Mark its tests `real`."""
    return real_gguf(tmp_path_factory.mktemp("smollm2"))


@pytest.fixture(scope="session")
def smollm2(smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the imported model: its GGUF file, and its weights as safetensors."""
    return real_checkpoint(smollm2_gguf, tmp_path_factory.mktemp("models"))
