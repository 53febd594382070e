"""Worker processes: what an objective may do to one without more than its own trial being lost."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Study, Task, TaskError
from airtune.engine.evaluation.workers import Worker


def exists(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int) -> bool:
    """Whether a grandchild is gone, or about to be: a kill takes effect when its target is next scheduled."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 30)[0])  # readable once it has ended, zombie or not
    finally:
        os.close(process)


def test_evaluations_share_one_process_that_is_not_this_one() -> None:
    with Worker(lambda _: {"loss": 1, "pid": __import__("os").getpid()}) as worker:
        first, second = worker.evaluate({}), worker.evaluate({})
    assert first.loss == 1
    assert first.info == second.info != {"pid": os.getpid()}
    assert not exists(first.info["pid"])


def test_closures_lambdas_and_what_they_close_over() -> None:
    def scale(factor: float) -> Callable[[dict[str, Any]], float]:
        def inner(config: dict[str, Any]) -> float:
            return float(config["x"]) * factor

        return lambda config: inner(config)

    with Worker(scale(3.0)) as worker:
        assert worker.evaluate({"x": 0.1}).loss == 0.1 * 3.0


def test_functions_of_a_script_without_a_main_guard(tmp_path: Path) -> None:
    """The script itself is not run again in the worker, where it would start a search of its own."""
    script = tmp_path / "script.py"
    script.write_text(
        "from ConfigSpace import ConfigurationSpace\n"
        "from airtune.engine import minimize\n"
        "import helper\n"
        "print('the script runs')\n"
        "FACTOR = 2\n"
        "def square(x): return FACTOR * x * x\n"
        "def loss(config): return helper.shift(square(config['x']))\n"
        "space = ConfigurationSpace({'x': (0.0, 1.0)})\n"
        "result = minimize(loss, space, budget=3, proposer='random', timeout_s=60)\n"
        "assert [t.loss for t in result.trials] == [loss(t.config) for t in result.trials], result\n"
    )
    (tmp_path / "helper.py").write_text("def shift(y): return y + 1\n")
    # Run from elsewhere: the worker finds the helper beside the script, as the script did.
    done = subprocess.run([sys.executable, script], cwd="/", capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("the script runs\n", "")


def test_a_file_named_like_a_library_module_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('mine')\n")
    monkeypatch.chdir(tmp_path)
    with Worker(lambda _: 1.0) as worker:
        assert worker.evaluate({}).loss == 1.0


def test_printing_does_not_get_among_the_messages() -> None:
    def objective(config: dict[str, Any]) -> float:
        import os
        import sys

        print("out", config["x"])
        sys.stderr.write("err\n")
        os.write(1, b"\xff raw\n")
        os.system("echo from a shell")
        if config["x"]:
            raise ValueError("no")
        return 1.0

    with Worker(objective) as worker:
        fine = worker.evaluate({"x": 0})
        assert fine.loss == 1.0
        for text in ("out 0", "err", "raw", "from a shell"):
            assert text in fine.log
        failed = worker.evaluate({"x": 1})
        assert failed.reason == "ValueError: no"
        assert "out 1" in failed.log
        assert "out 0" not in failed.log
        assert 'raise ValueError("no")' in failed.log or "ValueError: no" in failed.log


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1", "utf-16"])
def test_what_is_printed_needs_no_locale(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Bug: where the locale lacks a character, printing it failed the trial; and the log is read as UTF-8 anyway."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)

    def objective(config: dict[str, Any]) -> float:
        print("é → 日本 \udcff")
        if config["x"]:
            raise ValueError("no")
        return 1.0

    with Worker(objective) as worker:
        assert worker.evaluate({"x": 0}).loss == 1.0
        failed = worker.evaluate({"x": 1})
        assert failed.reason == "ValueError: no"
        assert "é → 日本 \\udcff\n" in failed.log


def close_everything(_: dict[str, Any]) -> float:
    os.closerange(0, 256)
    return 1.0


CRASHES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "exit": (lambda _: __import__("os")._exit(7), "exited with code 7"),
    "exit 0": (lambda _: __import__("os")._exit(0), "exited with code 0"),
    "sys.exit": (lambda _: __import__("sys").exit("enough"), "SystemExit: enough"),
    "segfault": (lambda _: __import__("os").kill(__import__("os").getpid(), 11), "SIGSEGV"),
    "null pointer": (lambda _: __import__("ctypes").string_at(0), "SIGSEGV"),
    "abort": (lambda _: __import__("os").abort(), "SIGABRT"),
    "killed": (lambda _: __import__("os").kill(__import__("os").getpid(), 9), "SIGKILL (out of memory?)"),
    "interrupt": (lambda _: exec("raise KeyboardInterrupt"), "KeyboardInterrupt"),
    "recursion": (lambda f: (lambda g: g(g))(lambda g: g(g)), "RecursionError"),
}


@pytest.mark.parametrize("kind", CRASHES)
def test_a_crash_is_a_failed_trial_and_the_next_one_works(kind: str) -> None:
    crash, reason = CRASHES[kind]

    def objective(config: dict[str, Any]) -> Any:
        return crash(config) if config["x"] else 1.0

    with Worker(objective) as worker:
        assert worker.evaluate({"x": 0}).loss == 1.0
        failed = worker.evaluate({"x": 1})
        assert failed.loss is None
        assert failed.reason is not None
        assert reason in failed.reason
        assert worker.evaluate({"x": 0}).loss == 1.0


def test_notes_come_after_what_was_printed() -> None:
    """Would fail if the answer left the notes out, or a further value that is no JSON were sent as it is."""

    def objective(config: dict[str, Any]) -> Any:
        print("epoch 1")
        return {"loss": Path, "a": 1} if config["x"] else {"loss": 1.0, "a": {2}, "model": object()}

    with Worker(objective) as worker:
        told = worker.evaluate({"x": 0})
        assert (told.loss, told.info) == (1.0, {"a": [2]})
        assert told.log == "epoch 1\nnote: 'model' was left out: an object is nothing that JSON can hold\n"
        assert "is a type" in str(worker.evaluate({"x": 1}).reason)


def test_time_limit_ends_everything_the_objective_has_started(tmp_path: Path) -> None:
    file = tmp_path / "pids"

    def objective(config: dict[str, Any]) -> float:
        import os
        import subprocess

        if config["x"] == 0:
            return 1.0
        child = subprocess.Popen(["sleep", "1000"])
        file.write_text(f"{os.getpid()} {child.pid}")
        while True:
            pass

    with Worker(objective, timeout_s=2.0) as worker:
        assert worker.evaluate({"x": 0}).loss == 1.0
        slow = worker.evaluate({"x": 1})
        assert slow.reason == "timed out after 2 s"
        assert slow.seconds >= 2
        evaluation, child = map(int, file.read_text().split())
        assert not exists(evaluation)
        assert ends(child)
        assert worker.evaluate({"x": 0}).loss == 1.0


def test_loading_does_not_count_against_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module's import takes longer than the limit."""
    (tmp_path / "slow_to_load.py").write_text(
        "import threading\nthreading.Event().wait(0.3)\ndef loss(config): return 1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import slow_to_load  # type: ignore[import-not-found]

    with Worker(slow_to_load.loss, timeout_s=0.25) as worker:
        assert worker.evaluate({}).loss == 1.0


def test_the_worker_and_its_children_end_with_this_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    fifo_path = tmp_path / "fifo"
    os.mkfifo(fifo_path)
    script.write_text(
        "import os, subprocess\n"
        "from airtune.engine.evaluation.workers import Worker\n"
        "def loss(config):\n"
        "    fifo = os.open(config['fifo'], os.O_WRONLY)\n"
        "    subprocess.Popen(['sleep', '1000'], pass_fds=[fifo])\n"
        "    os.write(fifo, b'began\\n')\n"
        "    while True: pass\n"
        f"Worker(loss).evaluate({{'fifo': {str(fifo_path)!r}}})\n"
    )
    process = subprocess.Popen([sys.executable, script])
    with open(fifo_path, "rb") as fifo:
        assert fifo.readline() == b"began\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert fifo.read() == b""  # the end comes when the last of those who hold it open has ended


def test_an_interrupt_of_the_terminal_does_not_reach_the_worker() -> None:
    """Ctrl-C signals this process group, which is not the worker's; and the worker takes no notice of one."""

    def objective(_: dict[str, Any]) -> dict[str, Any]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGINT)
        return {"loss": 1.0, "group": os.getpgid(0), "pid": os.getpid()}

    with Worker(objective) as worker:
        outcome = worker.evaluate({})
    assert outcome.loss == 1.0
    assert outcome.info["group"] == outcome.info["pid"] != os.getpgid(0)


def test_ctrl_c_ends_the_evaluation_and_leaves_the_trial_asked(
    space: ConfigurationSpace, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    path = str(tmp_path / "fifo")

    def objective(_: dict[str, Any]) -> float:
        import os

        with open(path, "w") as fifo:
            fifo.write(str(os.getpid()))
        while True:
            pass

    pids: list[int] = []

    def press() -> None:
        with open(path) as fifo:
            pids.append(int(fifo.read()))
        os.kill(os.getpid(), signal.SIGINT)

    with Study(Task("t", space, objective), "random", evaluation=Evaluation(isolate=True)) as study:
        presser = threading.Thread(target=press)
        presser.start()
        result = study.run(3)
        presser.join()
    assert result.stopped == "interrupted"
    assert [trial.status for trial in result.trials] == ["asked"]
    assert not exists(pids[0])


def test_objectives_that_cannot_be_sent_or_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    with pytest.raises(TaskError, match="cannot be sent to a worker process") as caught:
        Worker(lambda _: lock.acquire())
    assert caught.value.hint

    (tmp_path / "only_here.py").write_text("def loss(config): return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    with Worker(only_here.loss) as worker:
        assert worker.evaluate({}).loss == 1.0
    monkeypatch.undo()
    with Worker(only_here.loss) as worker, pytest.raises(TaskError, match=r"cannot be loaded .*only_here"):
        worker.evaluate({})


@pytest.mark.parametrize("kills", [1, 2])
def test_a_process_killed_while_it_loads_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """One stray kill, as of a machine short of memory, ended the study, which said that the module was not found."""
    module, loads = tmp_path / f"killed_{kills}.py", tmp_path / "loads"
    module.write_text("def loss(config): return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    loss = __import__(module.stem).loss
    module.write_text(
        f"import os\nopen({str(loads)!r}, 'a').write('.')\n"
        f"if os.path.getsize({str(loads)!r}) <= {kills}: os.kill(os.getpid(), 9)\n"
        "def loss(config): return 1.0\n"
    )
    with Worker(loss) as worker:
        if kills == 1:
            assert worker.evaluate({}).loss == 1.0
        else:
            with pytest.raises(TaskError, match="killed by SIGKILL") as caught:
                worker.evaluate({})
            assert "run the same again" in str(caught.value)
    assert loads.read_text() == ".."


def test_a_study_in_workers_is_the_same_as_in_this_process(task: Task) -> None:
    with Study(task, "random") as here, Study(task, "random", evaluation=Evaluation(timeout_s=60)) as there:
        one, two = here.run(3), there.run(3)
    assert [(t.config, t.loss, t.info) for t in one.trials] == [
        (t.config, t.loss, t.info) for t in two.trials
    ]
