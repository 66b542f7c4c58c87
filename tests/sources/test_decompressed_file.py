"""The bytes of a file, open_decompressed."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from batchchat.errors import InputError
from batchchat.sources.decompressed_file import BrokenOffError, DecompressedFile, open_decompressed, read_lines
from batchchat.sources.files import find_files

GZIP_ENDS = "the gzip stream ends too early"
GZIP_BAD = "what follows is not gzip or is damaged"
ZSTD_ENDS = "the zstd stream ends too early"
ZSTD_BAD = "what follows is not zstd or is damaged"

TEXT = b"".join(b'{"n":%d,"s":"%x"}\n' % (n, n * 7919 % 10007) for n in range(120))


def pack_gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def pack_zstd(content: bytes) -> bytes:
    """With a checksum, and in blocks as they came: a writer that flushes makes such files."""
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    parts = []
    for at in range(0, len(content), 500):
        parts += [packer.compress(content[at : at + 500]), packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)]
    return b"".join([*parts, packer.flush()])


PACKED = [("gz", pack_gzip, GZIP_ENDS, GZIP_BAD), ("zst", pack_zstd, ZSTD_ENDS, ZSTD_BAD)]
each_packing = pytest.mark.parametrize(("suffix", "pack", "ends", "bad"), PACKED, ids=["gzip", "zstd"])
Pack = Callable[[bytes], bytes]


def content_of(path: Path, packed: bytes) -> tuple[bytes, str]:
    """What a file of `packed` holds, and how it broke off (empty: it didn't)."""
    path.write_bytes(packed)
    (file,) = find_files([str(path)], [path.name]).files
    found: list[bytes] = []
    with open_decompressed(file) as given:
        try:
            found.extend(given)
        except BrokenOffError as error:
            return b"".join(found), str(error)
        finally:
            assert given.bytes_out == sum(map(len, found))
        assert given.bytes_in == len(packed)
    return b"".join(found), ""


@given(st.lists(st.binary(max_size=400), max_size=4), st.sampled_from(PACKED))
def test_members_and_frames_are_one_file(parts: list[bytes], packed: tuple[str, Pack, str, str]) -> None:
    """What was packed in pieces and put together is read as if in one, and a cut between pieces can't be seen."""
    suffix, pack, *_ = packed
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, f"x.jsonl.{suffix}")
        assert content_of(path, b"".join(map(pack, parts))) == (b"".join(parts), "")


@each_packing
def test_a_file_cut_anywhere_gives_what_came_before(
    tmp_path: Path, suffix: str, pack: Pack, ends: str, bad: str
) -> None:
    """Cut at every byte, the file gives a beginning of its content, ever more of it, and says that it broke off."""
    whole, most = pack(TEXT), 0
    for cut in range(4, len(whole)):
        found, broken = content_of(tmp_path / f"x.jsonl.{suffix}", whole[:cut])
        assert (TEXT.startswith(found), broken) == (True, ends)
        assert len(found) >= most
        most = len(found)
    assert most > len(TEXT) * 0.9


@each_packing
def test_a_damaged_file_gives_what_came_before(tmp_path: Path, suffix: str, pack: Pack, ends: str, bad: str) -> None:
    """A flipped byte breaks it off, however late that is noticed."""
    whole = pack(TEXT)
    for at in range(20, len(whole), 31):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        assert content_of(tmp_path / f"x.jsonl.{suffix}", bytes(damaged))[1] in {ends, bad}
    damaged = bytearray(whole)
    damaged[-4 if suffix == "zst" else -8] ^= 1  # the checksum
    assert content_of(tmp_path / f"x.jsonl.{suffix}", bytes(damaged)) == (TEXT, bad)


@each_packing
def test_garbage_after_the_end(tmp_path: Path, suffix: str, pack: Pack, ends: str, bad: str) -> None:
    """What follows a whole file and isn't packed is a break, after all that could be read; zeros pad a gzip."""
    path = tmp_path / f"x.jsonl.{suffix}"
    for junk in (b"junk", b"j", b"{}\n" * 100_000):
        assert content_of(path, pack(TEXT) + junk) in {(TEXT, bad), (TEXT, ends)}
    assert content_of(path, pack(TEXT) + bytes(512)) == (TEXT, "" if suffix == "gz" else bad)


def test_damage_in_a_later_piece_of_zstd(tmp_path: Path) -> None:
    """What stands before the damage in the same kilobyte is given too."""
    packer = zstandard.ZstdCompressor().compressobj()
    first = packer.compress(TEXT) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    junk = b"\x07" * 2000  # a block of the reserved type
    assert content_of(tmp_path / "x.jsonl.zst", pack_zstd(b"a") + first + junk) == (b"a" + TEXT, ZSTD_BAD)


def test_frames_to_be_skipped(tmp_path: Path) -> None:
    """A zstd file may hold notes of its tool, at its beginning too."""
    note = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert content_of(tmp_path / "x.jsonl.zst", note + pack_zstd(TEXT) + note) == (TEXT, "")


def test_a_window_too_wide(tmp_path: Path) -> None:
    """A file that takes gigabytes to unpack is refused with the way out."""
    wide = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    _, broken = content_of(tmp_path / "x.jsonl.zst", packer.compress(TEXT) + packer.flush())
    assert broken == "it needs more than 128 MiB of memory to decompress; compress it again without --long or --ultra"


@each_packing
def test_a_bomb_is_read_in_pieces(tmp_path: Path, suffix: str, pack: Pack, ends: str, bad: str) -> None:
    """A small file that holds much is given block by block."""
    path = tmp_path / f"x.jsonl.{suffix}"
    size = 40_000_000
    path.write_bytes(gzip.compress(bytes(size)) if suffix == "gz" else zstandard.compress(bytes(size)))
    (file,) = find_files([str(path)], [path.name]).files
    with open_decompressed(file) as given:
        sizes = [len(block) for block in given]
    assert sum(sizes) == size
    assert max(sizes) <= 32 << 20


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\xef\xbb\xbf", b""]), max_size=12).map(b"".join), st.data())
def test_lines_are_those_of_the_whole(content: bytes, data: st.DataObject) -> None:
    """However the blocks fall, the lines are the same; a mark goes at the beginning alone."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
    parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    expected = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    heard: list[int] = []
    found = list(read_lines(_Blocks(parts), heard.append))
    assert found == (expected if expected[-1] else expected[:-1])
    assert heard == sorted(heard)
    assert heard[-1] == len(content)


class _Blocks(DecompressedFile):
    """Content in blocks of one's own."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.bytes_in = self.bytes_out = 0
        self._parts = [part for part in parts if part]

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.bytes_in += len(part)
            self.bytes_out += len(part)
            yield part


def test_a_file_that_has_gone_is_an_input_error(tmp_path: Path) -> None:
    """What vanished since it was found is told, not thrown."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a")
    (file,) = find_files([str(path)], ["x.csv"]).files
    path.unlink()
    with pytest.raises(InputError, match=r"^x\.csv is not there\."), open_decompressed(file):
        pass
