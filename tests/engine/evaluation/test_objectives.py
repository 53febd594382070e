from __future__ import annotations

import sys
from pathlib import Path

import pytest

from airtune.engine import TaskError, load_objective


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    known = set(sys.modules)
    yield tmp_path  # type: ignore[misc]
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_modules_of_the_current_folder_and_their_attributes(folder: Path) -> None:
    (folder / "my_train.py").write_text(
        "def loss(config): return config['x']\n"
        "class Net:\n"
        "    @staticmethod\n"
        "    def loss(config): return -config['x']\n"
    )
    (folder / "my_pack").mkdir()
    (folder / "my_pack" / "sub.py").write_text("from my_train import loss as again\n")
    assert load_objective("my_train:loss")({"x": 2}) == 2
    assert load_objective("my_train:Net.loss")({"x": 2}) == -2
    assert load_objective("my_pack.sub:again")({"x": 3}) == 3


@pytest.mark.parametrize(
    ("spec", "message", "fix"),
    [
        ("my_mod", "not of the form module:attribute", "no slashes"),
        ("my_mod:", "not of the form module:attribute", ""),
        (":loss", "not of the form module:attribute", ""),
        ("my_modd:loss", "there is no module 'my_modd'", "PYTHONPATH"),
        ("my_mod.sub:loss", "there is no module 'my_mod.sub'", ""),
        # Bugs: advice to run `python -c 'import ./my_mod.py'`, or to look for the folder in which it was run.
        ("./my_mod.py:loss", "not of the form module:attribute", "no slashes"),
        ("..my_mod:loss", "not of the form module:attribute", "no slashes"),
        ("my_pack/sub.py:loss", "not of the form module:attribute", "no slashes"),
        (r"my_pack\sub:loss", "not of the form module:attribute", "no slashes"),
        ("my_mod.py:loss", "there is no module 'my_mod.py'", "not its file: my_mod:loss"),
        ("my_mod:los", "has no attribute 'los'", "did you mean 'loss'?"),
        ("my_mod:FACTOR", "cannot be called: it is 0.5", "a function"),
        ("my_broken:loss", "cannot be imported: ZeroDivisionError: division by zero", "import my_broken"),
        ("my_syntax:loss", "cannot be imported: SyntaxError", ""),
        ("my_exit:loss", "cannot be imported: SystemExit: 3", ""),
        ("my_panic:loss", "cannot be imported: BaseException: no such table", ""),
        ("my_needy:loss", "there is no module 'not_installed_here'", "module 'my_needy' imports it"),
    ],
)
def test_what_cannot_be_loaded(folder: Path, spec: str, message: str, fix: str) -> None:
    (folder / "my_mod.py").write_text("FACTOR = 0.5\ndef loss(config): return 0.0\n")
    (folder / "my_broken.py").write_text("1 / 0\n")
    (folder / "my_syntax.py").write_text("def\n")
    (folder / "my_exit.py").write_text("import sys; sys.exit(3)\n")
    (folder / "my_panic.py").write_text("raise BaseException('no such table')\n")
    (folder / "my_needy.py").write_text("import not_installed_here\n")
    with pytest.raises(TaskError, match=message) as caught:
        load_objective(spec)
    assert caught.value.value == spec
    assert caught.value.allowed
    assert fix in (caught.value.hint or "")
