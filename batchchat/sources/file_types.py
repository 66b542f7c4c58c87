"""The kind of a file by its name, its compression, and the check of its first bytes.

Text formats are read plain, as gzip and as zstd; Parquet has its own compression. A file whose first bytes contradict
its name is refused, since all its rows would be invalid.
"""

from __future__ import annotations

from enum import Enum

from batchchat.errors import InputError

__all__ = ["MAX_MAGIC_BYTES", "READS", "FileKind", "Packing", "check_head", "file_kind", "packing_of_head"]

READS = "It reads .jsonl, .ndjson, .json and .csv, each also as .gz or .zst, and .parquet."
MAX_MAGIC_BYTES = 4


class FileKind(Enum):
    """The format of a file. The value is its name in messages."""

    JSONL = "JSON lines"
    JSON = "JSON"
    CSV = "CSV"
    PARQUET = "Parquet"


class Packing(Enum):
    """The compression of a file. The value is its name in messages."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"


_KINDS = {
    ".jsonl": FileKind.JSONL,
    ".ndjson": FileKind.JSONL,
    ".json": FileKind.JSON,
    ".csv": FileKind.CSV,
    ".parquet": FileKind.PARQUET,
}
_PACKINGS = {".gz": Packing.GZIP, ".zst": Packing.ZSTD}
_ZSTD = b"\x28\xb5\x2f\xfd"
# A zstd file may begin with a skippable frame; pzstd writes one.
_ZSTD_SKIPPED = b"\x2a\x4d\x18"
# By first bytes: what a file with the suffix of plain text really is, and what to do.
_MAGIC = {
    b"\x1f\x8b": ("gzip", "Rename it to {suffix}.gz."),
    b"PAR1": ("Parquet", "Rename it to .parquet."),
    _ZSTD: ("zstd", "Rename it to {suffix}.zst."),
    b"\xff\xfe": ("UTF-16", "Save it as UTF-8."),
    b"\xfe\xff": ("UTF-16", "Save it as UTF-8."),
    b"PK\x03\x04": ("a zip archive", "Unpack it first."),
}


def file_kind(name: str) -> tuple[FileKind, Packing] | None:
    """The format and compression that `name` ends with, ignoring case; None if it is not a supported one."""
    suffix, packing = _suffix_of(name)
    kind = _KINDS.get(suffix)
    if kind is None or (kind is FileKind.PARQUET and packing is not Packing.PLAIN):
        return None
    return kind, packing


def packing_of_head(head: bytes) -> Packing:
    """The compression of a file whose first bytes are `head`, whatever its name."""
    if head.startswith(b"\x1f\x8b"):
        return Packing.GZIP
    return Packing.ZSTD if head == _ZSTD or head[1:] == _ZSTD_SKIPPED else Packing.PLAIN


def check_head(as_given: str, kind: FileKind, packing: Packing, head: bytes) -> None:
    """Raise `InputError` if `head`, the first bytes of a file, contradict its name."""
    suffix, _ = _suffix_of(as_given)
    if kind is FileKind.PARQUET:
        if head != b"PAR1":
            raise InputError(f"{as_given} is not Parquet (no PAR1 header). Rename it to match its format.")
    elif packing is Packing.PLAIN:
        for magic, (name, way_out) in _MAGIC.items():
            if head.startswith(magic):
                raise InputError(f"{as_given} is {name}, not {kind.value}. {way_out.format(suffix=suffix)}")
    elif packing is Packing.GZIP:
        if head and not head.startswith(b"\x1f\x8b"):
            raise _not_packed(as_given, packing, "1f 8b", suffix)
    elif head and head != _ZSTD and head[1:] != _ZSTD_SKIPPED:
        raise _not_packed(as_given, packing, "28 b5 2f fd", suffix)


def _not_packed(as_given: str, packing: Packing, magic: str, suffix: str) -> InputError:
    sentence = f"{as_given} is not {packing.value} (it doesn't begin with {magic})."
    return InputError(f"{sentence} Rename it to {suffix} if it is plain text.")


def _suffix_of(name: str) -> tuple[str, Packing]:
    lower = name.lower()
    packing = Packing.PLAIN
    for suffix, packed in _PACKINGS.items():
        if lower.endswith(suffix):
            lower, packing = lower.removesuffix(suffix), packed
    return next((suffix for suffix in _KINDS if lower.endswith(suffix)), ""), packing
