"""`airtune models pack` here, `unpack` there: as the two operators of an air gap do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airtune.models.tiny import byte_tokenizer, save_random_llama

if TYPE_CHECKING:
    from conftest import Folder


def test_a_model_goes_over_the_gap(folder: Folder) -> None:
    save_random_llama(folder.path / "mine", byte_tokenizer())
    (folder.path / "numbers").mkdir()
    folder.write("numbers/a.csv", "1,2\n")
    folder.write("mine/evil.py", "")
    packed = folder.call("models", "pack", "mine", "-o", "mine.tar", "--data", "numbers")
    assert "left out, as neither safetensors, tokenizer nor text: evil.py" in packed.out
    document = folder.call("models", "pack", "mine", "-o", "again.tar", "--data", "numbers", "--json").json
    assert document["sha256"] in packed.out
    assert "mine.tar: all" in folder.call("models", "verify", "mine.tar").out
    shown = folder.call("models", "unpack", "mine.tar", "--to", "there", "--sha256", document["sha256"]).out
    assert "airtune tune TASK --model there" in shown
    assert folder.call("models", "verify", "there", "--json").json["ok"] is True
    trials = folder.call("tune", "toy/branin", "--model", "there", "--budget", "2", "--json").json["trials"]
    assert [trial["status"] for trial in trials] == ["told", "told"]
    folder.write("there/data/numbers/a.csv", "1,3\n")
    assert "data/numbers/a.csv differs" in folder.call("models", "verify", "there", code=1).err


def test_a_pack_that_was_damaged(folder: Folder) -> None:
    save_random_llama(folder.path / "mine", byte_tokenizer())
    folder.call("models", "pack", "mine", "-o", "mine.tar")
    whole = (folder.path / "mine.tar").read_bytes()
    (folder.path / "mine.tar").write_bytes(whole[:-20_000])
    before = sorted(folder.path.iterdir())
    ended = folder.call("models", "unpack", "mine.tar", "--to", "there", code=2)
    assert "error: this pack is refused" in ended.err
    assert "  fix: " in ended.err
    assert folder.call("models", "verify", "mine.tar", "--json", code=1).json["ok"] is False
    assert sorted(folder.path.iterdir()) == before


def test_options_without_effect(folder: Folder) -> None:
    ended = folder.call("models", "pack", "pocket", "-o", "p.tar", "--extra", "smac", code=2)
    assert "--wheels" in ended.err
    assert not (folder.path / "p.tar").exists()
