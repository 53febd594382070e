"""Reads rows from the pages of an SQLite file one by one, whatever else of the file is damaged.

SQLite itself finds a page only by way of those above it, and gives up where one of them is damaged. Here every page
is looked at on its own, also those of the write-ahead log, and a row is whatever reads as one: the caller knows by
checksums which rows are rows. The format: https://www.sqlite.org/fileformat2.html (sections 1.5 to 2.1 and 4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[int | None, tuple[Value, ...]]  # rowid (None of tables without), values

_SIZES = (4096, 1024, 2048, 8192, 16384, 32768, 65536, 512)
_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE = 0x02, 0x0A, 0x0D  # kinds of pages that hold rows
_INTEGERS = (0, 1, 2, 3, 4, 6, 8)  # bytes of serial types 0 to 6
_COLUMNS = 64  # no table of ours has as many


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a file as they were at one time.

    Attributes:
        size: Bytes of a page.
        pages: Their contents by number, from 1.
    """

    size: int
    pages: dict[int, bytes]

    def rows(self, number: int) -> Iterator[Row]:
        """The rows that a page lists. Where it is damaged, some of what this gives is none."""
        page = self.pages[number]
        start = 100 if number == 1 else 0
        kind = page[start]
        if kind in (_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE):
            for at in _pointers(page, start, kind):
                row = self._cell(page, at + 4 if kind == _INTERIOR_INDEX else at, kind == _LEAF_TABLE)
                if row is not None:
                    yield row

    def rows_ending_in(self, number: int, size: int) -> Iterator[Row]:
        """What may be rows anywhere in a page, listed or not, if their last value is a blob of `size` bytes.

        For pages whose list is damaged, and for what was deleted or moved. Much of it is none.
        """
        page = self.pages[number]
        # the blob's serial type ends the record's header, whose length is its first byte
        last = 12 + 2 * size
        at = page.find(last)
        while at >= 0:
            for length in range(2, min(at + 2, _COLUMNS)):
                if page[at - length + 1] == length:
                    yield from self._rows_at(page, at - length + 1)
            at = page.find(last, at + 1)

    def _rows_at(self, page: bytes, header: int) -> Iterator[Row]:
        """The rows whose record begins at `header`: before it come its length and, in a table, the row's number."""
        for at in range(max(0, header - 12), header):
            for is_table in (False, True):
                end = _varint(page, at)[1]
                end = _varint(page, end)[1] if is_table else end
                row = self._cell(page, at, is_table) if end == header else None
                if row is not None:
                    yield row

    def _cell(self, page: bytes, at: int, is_table: bool) -> Row | None:
        length, at = _varint(page, at)
        rowid = None
        if is_table:
            rowid, at = _varint(page, at)
        if not 2 <= length <= self.size * len(self.pages):
            return None
        local = self._local(length, is_table)
        payload = page[at : at + local]
        if length > local:
            if at + local + 4 > len(page):
                return None
            chain = self._overflow(int.from_bytes(page[at + local : at + local + 4], "big"), length - local)
            if chain is None or not _plausible(payload):
                return None
            payload += chain
        if len(payload) != length:
            return None
        values = _record(payload)
        return None if values is None else (rowid, values)

    def _local(self, length: int, is_table: bool) -> int:
        """Bytes of a payload that lie in the page itself; the rest is in overflow pages."""
        most = self.size - 35 if is_table else (self.size - 12) * 64 // 255 - 23
        least = (self.size - 12) * 32 // 255 - 23
        if length <= most:
            return length
        kept = least + (length - least) % (self.size - 4)
        return kept if kept <= most else least

    def _overflow(self, number: int, length: int) -> bytes | None:
        parts, seen = [], set()
        while length > 0:
            page = self.pages.get(number)
            if page is None or number in seen:
                return None
            seen.add(number)
            number = int.from_bytes(page[:4], "big")
            parts.append(page[4 : 4 + length])
            length -= len(parts[-1])
        return b"".join(parts)


def read_pages(data: bytes, wal: bytes) -> list[Pages]:
    """The pages of a file: as they are with what the write-ahead log adds, and, where it has any, without.

    Where the file's header is damaged, so that the size of its pages is not known: in every size.

    Args:
        data: The file.
        wal: Its write-ahead log; may be empty.
    """
    found = []
    for size in _sizes(data, wal):
        # Of a page that is cut off, what is there may still hold rows.
        main = {
            number: data[start : start + size].ljust(size, b"\0")
            for number, start in enumerate(range(0, len(data), size), 1)
        }
        newer = _frames(wal, size)
        found += [Pages(size, {**main, **newer}), *([Pages(size, main)] if newer else [])]
    return found


def _sizes(data: bytes, wal: bytes) -> list[int]:
    """What the header and the log say that the size of a page is, and SQLite's default; or all sizes."""
    if data[:16] != b"SQLite format 3\0":
        return list(_SIZES)
    told = int.from_bytes(data[16:18], "big")
    logged = int.from_bytes(wal[8:12], "big") if len(wal) >= 32 else 0
    return [size for size in _SIZES if size in (65536 if told == 1 else told, logged, _SIZES[0])]


def _frames(wal: bytes, size: int) -> dict[int, bytes]:
    """The newest committed content of every page in a write-ahead log.

    Every frame has a checksum that goes on from the one before; so a frame whose content is damaged is left out,
    and those after it are not.
    """
    if len(wal) < 32 or int.from_bytes(wal[:4], "big") & ~1 != 0x377F0682:
        return {}
    order = "big" if wal[3] & 1 else "little"
    salt, sums = wal[16:24], struct.unpack(">2I", wal[24:32])
    found: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    for start in range(32, len(wal) - 24 - size + 1, 24 + size):
        head, page = wal[start : start + 24], wal[start + 24 : start + 24 + size]
        if head[8:16] != salt:
            break  # left over from before the log was begun anew
        told = struct.unpack(">2I", head[16:24])
        if _sums(head[:8] + page, order, *sums) == told:
            waiting[int.from_bytes(head[:4], "big")] = page
            if int.from_bytes(head[4:8], "big"):  # the last frame of a transaction
                found.update(waiting)
                waiting = {}
        sums = told
    return found


def _sums(data: bytes, order: str, first: int, second: int) -> tuple[int, int]:
    """The checksum of a frame (section 4.2)."""
    words = struct.unpack(f"{'>' if order == 'big' else '<'}{len(data) // 4}I", data)
    for i in range(0, len(words), 2):
        first = (first + words[i] + second) & 0xFFFFFFFF
        second = (second + words[i + 1] + first) & 0xFFFFFFFF
    return first, second


def _pointers(page: bytes, start: int, kind: int) -> list[int]:
    """Where the rows of a page begin, by its own list."""
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    at = start + (12 if kind == _INTERIOR_INDEX else 8)
    count = min(count, (len(page) - at) // 2)
    return [int.from_bytes(page[i : i + 2], "big") for i in range(at, at + 2 * count, 2)]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, and where it ends; -1 where there is none."""
    value = 0
    for i in range(9):
        if at + i >= len(data):
            return -1, at
        byte = data[at + i]
        if i == 8:
            return (value << 8 | byte), at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    raise AssertionError("unreachable")


def _plausible(payload: bytes) -> bool:
    """Whether a payload begins as a record does, before all of it is fetched from elsewhere."""
    header, at = _varint(payload, 0)
    return at <= header <= min(len(payload), 9 * _COLUMNS)


def _record(payload: bytes) -> tuple[Value, ...] | None:
    """The values of a record, or None if it is none."""
    if not _plausible(payload):
        return None
    header, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < header:
        kind, at = _varint(payload, at)
        if kind < 0 or kind in (10, 11) or len(kinds) >= _COLUMNS:
            return None
        kinds.append(kind)
    if at != header:
        return None
    values: list[Value] = []
    for kind in kinds:
        size = _INTEGERS[kind] if kind < 7 else 8 if kind == 7 else 0 if kind < 10 else (kind - 12) // 2
        content = payload[at : at + size]
        if len(content) != size:
            return None
        at += size
        if kind == 0:
            values.append(None)
        elif kind < 7:
            values.append(int.from_bytes(content, "big", signed=True))
        elif kind == 7:
            values.append(struct.unpack(">d", content)[0])
        elif kind < 10:
            values.append(kind - 8)
        elif kind % 2 == 0:
            values.append(content)
        else:
            try:
                values.append(content.decode())
            except UnicodeDecodeError:
                return None
    return tuple(values) if at == len(payload) else None
