"""The header of a GGUF file, which anybody may have made: read strictly, before any library reads it.

Everything that it claims (counts, lengths, extents) is compared with bounds and with the file itself before memory is
taken for it; what the libraries would only stumble over later is refused here, in words.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airtune.models.types import ModelError

VERSIONS = (2, 3)
MOST_HEADER = 64 << 20  # bytes; that of a vocabulary of 262,144 tokens has about 10
MOST_ELEMENTS = 1 << 22  # of all arrays together; such a vocabulary has about 1.3 million
MOST_TENSORS, MOST_FIELDS, MOST_DIMENSIONS = 1 << 16, 1 << 12, 4
LONGEST_NAME = 256
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_BOOL, _STRING, _ARRAY = 7, 8, 9
# Arrays with an element of four bytes for each token: llama.cpp takes that for granted, and reads behind shorter ones.
OF_TOKENS = {"tokenizer.ggml.scores": (6,), "tokenizer.ggml.token_type": (5, 4)}

Value = bool | int | float | str | list[int] | list[float] | list[str] | list[bool]


class GGUFError(ModelError):
    """A GGUF file that is damaged, or holds no language model that can be used."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as the header describes it.

    Attributes:
        name: Its name.
        shape: Its dimensions, the one that moves fastest first, as the format has them.
        kind: The format of its values, for example "Q4_1".
        offset: Where it begins, in bytes from the beginning of the data.
        bytes: Its length.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """What a GGUF file says about itself.

    Attributes:
        path: The file.
        metadata: Its fields.
        tensors: Its tensors, in the order of the header.
    """

    path: Path
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def text(self, key: str) -> str:
        """A field that is a text; "" where it is none."""
        found = self.metadata.get(key)
        return found if isinstance(found, str) else ""


def read_header(path: str | Path) -> GGUFHeader:
    """Read a header, and check that the file holds what it describes.

    Raises:
        GGUFError: If it is no GGUF file, is cut off, contradicts itself, or is beyond the bounds of this module.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _header(path, _Reader(path, file))
    except OSError as error:
        raise GGUFError(
            f"{path} cannot be read: {error.strerror or error}", value=str(path), hint="check the path"
        ) from error


class _Reader:
    """A file that gives out no more than it holds, and no more than a header may have."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file
        self.size = path.stat().st_size
        self.position = self.elements = 0

    def take(self, count: int) -> bytes:
        if count > min(self.size, MOST_HEADER) - self.position:
            if self.position + count <= self.size:
                raise refused(self.path, f"its header has more than {MOST_HEADER:,} bytes")
            raise refused(self.path, f"it is cut off at byte {self.position:,}: {count:,} more were to come")
        self.position += count
        found = self._file.read(count)
        if len(found) < count:
            raise refused(self.path, "it was cut off while it was read")
        return found

    def number(self, code: str) -> int | float:
        found: int | float = struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0]
        return found

    def count(self, what: str, most: int) -> int:
        number = int(self.number("Q"))
        if number > most:
            raise refused(self.path, f"it would have {number:,} {what}, {most:,} at most")
        return number

    def string(self, what: str, longest: int = MOST_HEADER) -> str:
        raw = self.take(self.count(f"bytes in {what}", longest))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise refused(self.path, f"{what} is no text: {raw[:40]!a}") from None

    def value(self, kind: int, key: str) -> Value:
        if kind == _STRING:
            return self.string(f"the value of {key!a}")
        if kind in _SCALARS:
            return self._bool(int(self.number("B"))) if kind == _BOOL else self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise refused(self.path, f"{key!a} has the unknown type {kind}")
        inner = int(self.number("I"))
        count = self.count(f"elements in {key!a}", MOST_ELEMENTS - self.elements)
        self.elements += count
        if inner == _STRING:
            return [self.string(f"element {i} of {key!a}") for i in range(count)]
        if inner not in _SCALARS or inner not in OF_TOKENS.get(key, (inner,)):
            raise refused(self.path, f"{key!a} is an array of the type {inner}")
        code = _SCALARS[inner]
        found = struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(code)))
        return [self._bool(one) for one in found] if inner == _BOOL else list(found)

    def _bool(self, number: int) -> bool:
        if number > 1:
            raise refused(self.path, f"{number} stands where true or false should")
        return bool(number)


def _header(path: Path, reader: _Reader) -> GGUFHeader:
    magic = reader.take(4)
    if magic != b"GGUF":
        raise refused(
            path, f"it is none: it begins with {ascii(magic)[1:]}", "give a file in the GGUF format"
        )
    version = int(reader.number("I"))
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        why = "its bytes are in the order of big-endian machines" if swapped else f"it has version {version}"
        raise refused(path, f"{why}, and {' and '.join(map(str, VERSIONS))} are read", "convert it again")
    tensors = reader.count("tensors", MOST_TENSORS)
    fields = reader.count("fields", MOST_FIELDS)
    metadata: dict[str, Value] = {}
    for _ in range(fields):
        key = reader.string("a field's name", LONGEST_NAME)
        if key in metadata:
            raise refused(path, f"it has {key!a} twice")
        metadata[key] = reader.value(int(reader.number("I")), key)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment not in {1 << n for n in range(3, 21)}:
        raise refused(path, f"its data are aligned to {shown(alignment)} bytes")
    described = tuple(_tensor(reader, alignment) for _ in range(tensors))
    _check_extents(path, described, reader.size - -(-reader.position // alignment) * alignment)
    return GGUFHeader(path, metadata, described)


def _tensor(reader: _Reader, alignment: int) -> TensorInfo:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    name = reader.string("a tensor's name", LONGEST_NAME)
    dimensions = int(reader.number("I"))
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise refused(reader.path, f"{name!a} has {dimensions} dimensions, 1 to {MOST_DIMENSIONS} at most")
    shape = struct.unpack(f"<{dimensions}Q", reader.take(8 * dimensions))
    number, offset = int(reader.number("I")), int(reader.number("Q"))
    try:
        kind = GGMLQuantizationType(number)
        block, width = GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        raise refused(reader.path, f"{name!a} is in the unknown format {number}") from None
    elements = math.prod(shape)
    if not elements or elements >= 1 << 62 or shape[0] % block or offset % alignment:
        raise refused(reader.path, f"{name!a} in format {kind.name} has the shape {shape} at byte {offset}")
    return TensorInfo(name, shape, kind.name, offset, elements // block * width)


def _check_extents(path: Path, tensors: tuple[TensorInfo, ...], length: int) -> None:
    """Every tensor lies in the file, and none in another."""
    if not tensors:
        raise refused(path, "it has no tensors: it is a vocabulary alone", "give the file with the weights")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise refused(path, "two tensors have one name")
    end = 0
    for tensor in sorted(tensors, key=lambda one: one.offset):
        if tensor.offset < end:
            raise refused(path, f"{tensor.name!a} overlaps another tensor")
        end = tensor.offset + tensor.bytes
        if end > length:
            raise refused(
                path,
                f"it is cut off: {tensor.name!a} ends at byte {end:,} of the data, and {max(length, 0):,} are there",
                "copy or download it again, the whole of it",
            )


def shown(value: object) -> str:
    """A value that anybody may have written, to show in a message."""
    return ascii(value)[:60]


def refused(
    path: Path, why: str, hint: str = "copy or download it again, from where you trust it"
) -> GGUFError:
    """The error to raise for a file that is not as it should be."""
    return GGUFError(
        f"the GGUF file {path} is refused: {why}",
        value=str(path),
        allowed="a whole GGUF file of a chat model",
        hint=hint,
    )
