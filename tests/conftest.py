"""What every test runs under: no network, whatever a library tries."""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Sockets raise in the tests' process. Unix sockets stay: worker processes are spoken to through them."""
    disable_socket(allow_unix_socket=True)
