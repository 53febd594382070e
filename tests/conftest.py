"""What every test runs under: no network, whatever a library tries."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

from tests.real import real_gguf


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Sockets raise in the tests' process. Unix sockets stay: worker processes are spoken to through them.

    Tests of servers are marked `allow_hosts(["127.0.0.1"])`; pytest-socket then lets them connect there alone.
    """
    if item.get_closest_marker("allow_hosts"):
        enable_socket()
    else:
        disable_socket(allow_unix_socket=True)


# A shell that runs the tests in the background has them ignore Ctrl-C, and all that they start inherits that; tests
# of Ctrl-C would then wait for ever. Python's own handler back in place: children start with the default again.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def smollm2_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of a real model; without one (`tests.real`) the test is skipped. Mark its tests `real`."""
    return real_gguf(tmp_path_factory.mktemp("smollm2"))
