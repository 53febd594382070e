"""Whether this machine has the sandbox."""

from __future__ import annotations

import pytest

from airtune.engine.sandbox.layers import layers

# Why its tests cannot run here, or "".
LACKS = next((f"sandbox {one.name}: {one.detail}; {one.fix}" for one in layers() if one.fix is not None), "")
needs_sandbox = pytest.mark.skipif(bool(LACKS), reason=LACKS or "it is there")
