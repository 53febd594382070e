"""llama.cpp's own server in a process of its own, on loopback: what `llama_cpp` is compared with.

    python -m airtune.benchmarks.measures.llama_server FILE.gguf THREADS CONTEXT

says its address in one line, and ends when its standard input does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airtune.grammars import AirtuneError

HINT = "pip install 'airtune[llama-server]'"


@contextmanager
def llama_server(gguf: Path, threads: int, context: int) -> Iterator[tuple[str, Callable[[], float]]]:
    """Start it: one slot, its prompt cache on, warmed; otherwise as llama.cpp starts it.

    Args:
        gguf: The model.
        threads: Of a forward pass.
        context: Tokens of a prompt and its answer, at most.

    Yields:
        Its base URL, and a clock of its processor time in seconds.

    Raises:
        AirtuneError: If xllamacpp or psutil is not installed, or it does not start.
    """
    try:
        import psutil
        import xllamacpp  # noqa: F401 - only the server's process uses it
    except ImportError as error:
        raise AirtuneError(f"llama.cpp's server needs xllamacpp and psutil ({error})", hint=HINT) from error
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, str(gguf), str(threads), str(context)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            address = next((line.strip() for line in child.stdout if line.startswith("http")), None)
            if address is None:
                raise AirtuneError("llama.cpp's server did not start", value=str(gguf))
            process = psutil.Process(child.pid)

            def spent() -> float:
                times = process.cpu_times()
                return float(times.user + times.system)

            yield f"{address}/v1", spent
        finally:
            child.stdin.close()


def main(gguf: str, threads: str, context: str) -> None:
    """Serve until standard input ends."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = gguf
    parameters.n_ctx, parameters.n_parallel = int(context), 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(threads)
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main(*sys.argv[1:])
