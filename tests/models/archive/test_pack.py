"""Packs: the same bytes for the same input, and every way in which an archive can be other than it should."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airtune.models import ModelError, load_model, verify_model
from airtune.models.archive.manifest import PackError, problem_with
from airtune.models.archive.pack import pack_model
from airtune.models.archive.unpack import LONGEST_HEADER, unpack_model, verify_pack
from airtune.models.archive.wheels import download_wheels
from airtune.models.inventory import record_manifest
from tests.models.gguf_files import write_gguf

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "numbers"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.csv").write_text("1,2\n")
    (folder / "deep" / "größe.csv").write_text("3\n")
    (folder / ".env").write_text("TOKEN=secret")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    return folder


@pytest.fixture
def pack(byte_checkpoint: Path, data: Path, tmp_path: Path) -> Path:
    return pack_model(byte_checkpoint, tmp_path / "model.tar", data=[data]).path


def members(pack: Path) -> list[Member]:
    with tarfile.open(pack, "r:") as archive:
        return [(one, file.read()) for one in archive if (file := archive.extractfile(one)) is not None]


def write(path: Path, content: list[Member], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w:", format=format) as archive:
        for member, data in content:
            archive.addfile(member, io.BytesIO(data))
    return path


def named(name: str, data: bytes = b"", **fields: Any) -> Member:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def with_manifest(content: list[Member], change: Callable[[dict[str, Any]], None]) -> list[Member]:
    document = json.loads(content[0][1])
    change(document)
    return [named("manifest.json", json.dumps(document).encode()), *content[1:]]


def adding(content: list[Member], name: str, data: bytes = b"x") -> list[Member]:
    """With a file more, which the manifest knows."""

    def change(document: dict[str, Any]) -> None:
        document["files"][name] = hashlib.sha256(data).hexdigest()
        document["bytes"][name] = len(data)

    return [*with_manifest(content, change), named(name, data)]


def refused(path: Path, why: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for call in (verify_pack, lambda p: unpack_model(p, tmp_path / "out")):
        with pytest.raises(PackError, match=why):
            call(path)  # type: ignore[operator]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_same_input_gives_the_same_bytes(
    byte_checkpoint: Path, data: Path, pack: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(byte_checkpoint, tmp_path / "elsewhere" / byte_checkpoint.name)
    for path in (*copy.iterdir(), data / "a.csv"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    again = pack_model(copy, tmp_path / "again.tar", data=[data])
    assert again.path.read_bytes() == pack.read_bytes()
    assert again.sha256 == hashlib.sha256(pack.read_bytes()).hexdigest()
    assert next(member.name for member, _ in members(pack)) == "manifest.json"
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m, _ in members(pack)} == {
        (0, 0, 0, "", "", 0o644)
    }


def test_hidden_files_stay_at_home(pack: Path, byte_checkpoint: Path, data: Path, tmp_path: Path) -> None:
    packed = pack_model(byte_checkpoint, tmp_path / "again.tar", data=[data])
    assert {Path(name).name for name in packed.left_out} == {".env", ".git"}
    assert b"secret" not in pack.read_bytes()


def test_a_round_trip_is_a_model(pack: Path, byte_checkpoint: Path, tmp_path: Path) -> None:
    before = load_model(byte_checkpoint).manifest()["files"]
    manifest = unpack_model(pack, tmp_path / "out")
    assert verify_model(tmp_path / "out") == dict(manifest.files)
    assert (tmp_path / "out" / "data" / "numbers" / "deep" / "größe.csv").read_text() == "3\n"
    files = load_model(tmp_path / "out").manifest()["files"]
    assert {name: digest for name, digest in files.items() if name != "manifest.json"} == before
    (tmp_path / "out" / "data" / "numbers" / "new.csv").write_text("")
    with pytest.raises(Exception, match=r"data/numbers/new\.csv is new"):
        verify_model(tmp_path / "out")


def test_an_unpacked_gguf_file_is_verified_and_packed_again(tmp_path: Path) -> None:
    """Bug: its folder was taken for the file in it, which has no manifest, and its licence was left behind."""
    folder = tmp_path / "tiny"
    (folder / "licenses").mkdir(parents=True)
    write_gguf(folder / "model.gguf")
    (folder / "licenses" / "LICENSE").write_text("free")
    record_manifest(folder)
    assert verify_model(folder).keys() == {"model.gguf", "licenses/LICENSE"}
    packed = pack_model(folder, tmp_path / "tiny.tar")
    unpack_model(packed.path, tmp_path / "again")
    assert verify_model(tmp_path / "again") == dict(packed.manifest.files) == verify_model(folder)
    (tmp_path / "again" / "model.gguf").write_bytes((folder / "model.gguf").read_bytes() + b"x")
    with pytest.raises(ModelError, match=r"model\.gguf differs"):
        verify_model(tmp_path / "again")
    with pytest.raises(ModelError, match=r"model\.gguf differs"):
        pack_model(tmp_path / "again", tmp_path / "more.tar")


def test_the_bundled_model_brings_card_and_licence(tmp_path: Path) -> None:
    packed = pack_model("pocket", tmp_path / "pocket.tar")
    assert {
        "licenses/CARD.md",
        "model.safetensors",
        "tokenizer.json",
        "config.json",
    } <= packed.manifest.files.keys()
    assert packed.manifest.dialect == "pocket"
    unpack_model(packed.path, tmp_path / "out", packed.sha256.upper())
    assert verify_model("pocket").items() <= verify_model(tmp_path / "out").items()


def test_pickles_and_code_are_not_packed(byte_checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(byte_checkpoint, tmp_path / "model"))
    for name in ("pytorch_model.bin", "evil.py", ".hidden"):
        (copy / name).write_text("x")
    (copy / "original").mkdir()
    (copy / "LICENSE").write_text("free")
    packed = pack_model(copy, tmp_path / "model.tar")
    assert set(packed.left_out) == {"pytorch_model.bin", "evil.py", ".hidden", "original"}
    assert "LICENSE" in packed.manifest.files


def test_what_cannot_be_packed(byte_checkpoint: Path, data: Path, pack: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="is there already"):
        pack_model(byte_checkpoint, pack)
    with pytest.raises(PackError, match="cannot be written"):
        pack_model(byte_checkpoint, tmp_path / "nowhere" / "model.tar")
    with pytest.raises(PackError, match="not a folder"):
        pack_model(byte_checkpoint, tmp_path / "a.tar", data=[tmp_path / "absent"])
    earlier_duplicate = shutil.copytree(data, tmp_path / "earlier_duplicate" / data.name)
    with pytest.raises(PackError, match="two folders of data are called 'numbers'"):
        pack_model(byte_checkpoint, tmp_path / "a.tar", data=[data, earlier_duplicate])
    (data / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(PackError, match="is a link"):
        pack_model(byte_checkpoint, tmp_path / "a.tar", data=[data])
    assert not list(tmp_path.glob("a.tar"))
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.json", "leaves its folder"),
        ("data/../../evil", "leaves its folder"),
        ("/etc/evil.json", "absolute path"),
        ("data//x", "simplest form"),
        ("data/./x", "simplest form"),
        ("C:evil.json", "takes literally"),
        ("data\\evil", "takes literally"),
        ("data/a\nb", "takes literally"),
        ("data/\u202etxt.exe", "takes literally"),
        ("data/" + "a" * 300, "too long"),
        ("other/file.json", "a folder other than"),
        ("evil.py", "neither weights"),
        ("model.bin", "neither weights"),
        (".bashrc", "neither weights"),
        ("wheels/setup.py", "no wheel"),
        ("CONFIG.json", "twice"),
        ("manifest.json", "neither weights"),
        ("data", "neither weights"),
        ("data/numbers", "as a file and as a folder"),
        ("data/numbers/a.csv/b", "as a file and as a folder"),
    ],
)
def test_names_that_are_refused(pack: Path, tmp_path: Path, name: str, why: str) -> None:
    refused(write(tmp_path / "bad.tar", adding(members(pack), name)), why, tmp_path)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.DIRTYPE, "a folder"),
        (b"9", "a special file"),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_what_is_no_plain_file(pack: Path, tmp_path: Path, kind: bytes, why: str, at: int) -> None:
    content = members(pack)
    content[at][0].type = kind
    content[at][0].linkname = "/etc/passwd"
    refused(write(tmp_path / "bad.tar", content), why, tmp_path)


def broken(content: list[Member]) -> Iterator[tuple[list[Member], str]]:
    first, *rest = content
    yield rest, "does not begin with"
    yield [], "does not begin with"
    yield [first, *rest[:-1]], "is missing"
    yield [first, *rest[1:]], "where its manifest has"
    yield [*content, named("more.json", b"{}")], "which its manifest does not name"
    yield [*content, rest[0]], "which its manifest does not name"
    yield [first, rest[1], rest[0], *rest[2:]], "where its manifest has"
    member, data = rest[0]
    yield [first, (member, data[:-1] + b"!"), *rest[1:]], "has the SHA-256"
    yield [first, named(member.name, data + b"!"), *rest[1:]], "bytes, its manifest says"
    yield with_manifest(content, lambda d: d.update(format="other")), "has the format 'other'"
    yield with_manifest(content, lambda d: d.update(format=["\x1b[31m"])), "has the format"
    yield with_manifest(content, lambda d: d.pop("name")), "names no model"
    yield with_manifest(content, lambda d: d.update(bytes={})), "hash and size of the same files"
    yield with_manifest(content, lambda d: d.update(files=[])), "hash and size of the same files"
    name = next(iter(json.loads(first_data(content))["files"]))
    for size in (-1, True, 1.5, "1", None):
        yield with_manifest(content, lambda d, size=size: d["bytes"].update({name: size})), "the size of"  # type: ignore[misc]
    yield with_manifest(content, lambda d: d["bytes"].update({name: 10**15})), "more than the archive's"
    yield with_manifest(content, lambda d: d["files"].update({name: "0" * 64})), "has the SHA-256"
    yield with_manifest(content, lambda d: d["files"].update({name: "A" * 64})), "the hash of"
    for text in (b"{", b"[]", b"\xff", b"[" * 100_000, b'{"bytes": ' + b"9" * 5000 + b"}"):
        yield [named("manifest.json", text), *rest], "this is not a pack"


def first_data(content: list[Member]) -> bytes:
    return content[0][1]


def test_members_that_are_not_as_the_manifest_says(pack: Path, tmp_path: Path) -> None:
    for content, why in broken(members(pack)):
        refused(write(tmp_path / "bad.tar", content), why, tmp_path)
        (tmp_path / "bad.tar").unlink()


def test_cut_off_anywhere(pack: Path, tmp_path: Path) -> None:
    whole = pack.read_bytes()
    for length in (0, 1, 511, 512, 1000, 1024, len(whole) // 2, len(whole) - 10_240, len(whole) - 1):
        (tmp_path / "bad.tar").write_bytes(whole[:length])
        refused(tmp_path / "bad.tar", "refused|not a pack", tmp_path)


def test_something_behind_the_end(pack: Path, tmp_path: Path) -> None:
    whole = pack.read_bytes()
    for tail in (b"x", b"\0" * 512, b"\0" * 10_240, whole):
        (tmp_path / "bad.tar").write_bytes(whole + tail)
        refused(tmp_path / "bad.tar", "what its manifest names ends at", tmp_path)
    (tmp_path / "bad.tar").write_bytes(whole[:-1] + b"x")
    refused(tmp_path / "bad.tar", "what its manifest names ends at", tmp_path)


def test_compressed_archives_are_none_of_ours(pack: Path, tmp_path: Path) -> None:
    """Not even a small one, of which nobody knows how large it is."""
    import gzip

    (tmp_path / "bad.tar").write_bytes(gzip.compress(pack.read_bytes()))
    refused(tmp_path / "bad.tar", "refused", tmp_path)


def test_headers_that_claim_too_much(pack: Path, tmp_path: Path) -> None:
    """tarfile reads an extension's header as large as it claims to be, and searches it in quadratic time."""
    content = members(pack)
    member, data = content[1]
    member.pax_headers = {"comment": "1" * (2 * LONGEST_HEADER)}
    refused(
        write(tmp_path / "bad.tar", [content[0], (member, data), *content[2:]]), "a header claims", tmp_path
    )
    (tmp_path / "bad.tar").unlink()
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
        huge = tarfile.TarInfo("x")
        huge.type, huge.size = kind, 10**15
        raw = huge.tobuf(tarfile.GNU_FORMAT)
        (tmp_path / "bad.tar").write_bytes(raw + pack.read_bytes())
        refused(tmp_path / "bad.tar", "a header claims|refused", tmp_path)


def test_a_size_below_zero(pack: Path, tmp_path: Path) -> None:
    """tarfile goes round in circles where a header's size is negative: the next header is before it."""
    content = members(pack)
    header = content[1][0].tobuf(tarfile.GNU_FORMAT)
    negative = bytearray(header)
    negative[124:136] = b"\xff" * 10 + (65536 - 1024).to_bytes(2, "big")
    negative[148:156] = b"        "
    negative[148:156] = f"{sum(negative):06o}\0 ".encode()
    whole = pack.read_bytes()
    at = whole.index(header[:100])
    (tmp_path / "bad.tar").write_bytes(whole[:at] + bytes(negative) + whole[at + 512 :])
    refused(tmp_path / "bad.tar", "refused", tmp_path)


def test_a_sparse_file_is_no_plain_file(pack: Path, tmp_path: Path) -> None:
    """A few bytes of archive that would be a terabyte on the disk."""
    content = members(pack)
    member, _ = content[1]
    bomb = named(
        member.name,
        b"1\n0\n1099511627776\n".ljust(512, b"\0"),
        pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)},
    )
    refused(write(tmp_path / "bad.tar", [content[0], bomb, *content[2:]]), "refused", tmp_path)


def test_another_pack_than_was_made(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="has the SHA-256"):
        unpack_model(pack, tmp_path / "out", "0" * 64)
    assert not (tmp_path / "out").exists()


def test_a_pack_without_weights(pack: Path, tmp_path: Path) -> None:
    content = members(pack)

    def change(document: dict[str, Any]) -> None:
        for part in ("files", "bytes"):
            del document[part]["model.safetensors"]

    left = [one for one in with_manifest(content, change) if one[0].name != "model.safetensors"]
    with pytest.raises(Exception, match="holds no weights"):
        unpack_model(write(tmp_path / "bad.tar", left), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*.part"))


def test_where_it_cannot_be_unpacked(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for place in ("there", "link", "model.tar"):
        with pytest.raises(PackError, match="is there already"):
            unpack_model(pack, tmp_path / place)
    with pytest.raises(PackError, match="cannot be written"):
        unpack_model(pack, tmp_path / "nowhere" / "out")
    with pytest.raises(PackError, match="cannot be read"):
        unpack_model(tmp_path / "absent.tar", tmp_path / "out")
    with pytest.raises(PackError, match="not a file"):
        unpack_model(tmp_path, tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


def test_no_name_of_a_checkpoint_is_refused() -> None:
    for name in (
        "config.json", "tokenizer.model", "merges.txt", "model-00001-of-00004.safetensors", "LICENSE", "README.md",
        "USE_POLICY.md", "LICENSE.txt", "chat_template.jinja", "NOTICE", "data/x.bin", "data/a/.hidden",
        "wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl",
    ):  # fmt: skip
        assert problem_with(name) is None, name


def test_wheels_come_from_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip itself, pointed at a folder instead of an index: it resolves, and takes wheels only."""
    index = tmp_path / "index"
    index.mkdir()
    for name, version, needs in (("one", "1.0", "two"), ("two", "1.0", None), ("two", "2.0", None)):
        with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            info = f"{name}-{version}.dist-info"
            requires = f"Requires-Dist: {needs}\n" if needs else ""
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    pins = tmp_path / "pins.txt"
    pins.write_text("two==1.0\n")
    found = download_wheels(["one"], tmp_path / "wheels", pins)
    assert [path.name for path in found] == ["one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"]
    with pytest.raises(PackError, match=r"pip cannot download the wheels: .*three"):
        download_wheels(["three"], tmp_path / "wheels", pins)
