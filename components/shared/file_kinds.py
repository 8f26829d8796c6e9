"""What a file is, by its first bytes: compressed, another kind of file, UTF-16 or binary data; or text.

A text file that is something else is refused by name, and never read as text.
"""

from __future__ import annotations

import codecs
import dataclasses
import re
import unicodedata

from bitext.components.shared import encodings
from bitext.components.shared.display import path_text, shell_path
from bitext.components.shared.errors import DataError

HEAD_BYTES = 1 << 16
"""At most so many first bytes of a file are looked at."""
COMPRESSED = {".gz": "gzip", ".bz2": "bzip2", ".zst": "Zstandard", ".xz": "xz"}
"""The compressions that are read, by the ending of the file name."""
_FIRST_BYTES = {".gz": b"\x1f", ".bz2": b"B", ".zst": b"\x28" + bytes(range(0x50, 0x60)), ".xz": b"\xfd"}

_LEAST_UTF16_BYTES = 40
_LEAST_BINARY_BYTES = 1024
_BINARY_SHARE = 0.05
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\x1c\x1d\x1e\x1f"))
POINTER, FETCH = "a Git LFS pointer", "fetch the file that it stands for: git lfs pull"
ZIP = "a ZIP archive"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x1f\x8b\x08", "gzip", "zcat"),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "bzip2", "bzcat"),
    (rb"(\x28|[\x50-\x5f]\x2a\x4d\x18.{4,}?\x28)\xb5\x2f\xfd", "Zstandard", "zstdcat"),
    (rb"\xfd7zXZ\x00", "xz", "xzcat"),
    (rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18", "LZ4", "lz4cat"),
    (rb"\x1f[\x9d\xa0]", "compress (.Z)", "zcat"),
    (rb"LZIP\x01", "lzip", "lzip -dc"),
    (rb"\x5d\x00\x00[\x00-\x80].{2}\x00{0,4}", "LZMA", "xzcat"),
    (rb"PK\x03\x04.{26,400}(xl/|\[Content_Types\])", "an Excel or Word document", ""),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file", ""),
    (rb"PK\x03\x04.{26}mimetypeapplication/epub", "an EPUB book", ""),
    (rb"PK(\x03\x04|\x05\x06)", ZIP, "unzip -p"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x -so"),
    (rb"Rar!\x1a\x07", "a RAR archive", "unrar p -inul"),
    (rb".{257}ustar", "a tar archive", "tar -xOf"),
    (rb"PAR1.{0,60}[\x00-\x08\x80-\xff]", "a Parquet file", ""),
    (rb"PARE.{0,60}[\x00-\x08\x80-\xff]", "an encrypted Parquet file", ""),
    (rb"FEA1\x00", "a Feather file of version 1", ""),
    (rb"\x80[\x02-\x05][\x95\]}(c]", "a Python pickle", ""),
    (rb"ARROW1\x00\x00", "an Arrow file", ""),
    (rb"Obj\x01", "an Avro file", ""),
    (rb"ORC[\x00-\x1f\x80-\xff]", "an ORC file", ""),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", ""),
    (rb"\x93NUMPY", "a NumPy array", ""),
    (rb"SQLite format 3\x00", "an SQLite database", ""),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word document", ""),
    (rb"%PDF-[12]\.[0-9]", "a PDF document", ""),
    (rb"\{\\rtf1", "an RTF document", ""),
    (rb"\x7fELF", "an ELF program", ""),
    (rb"MZ[\x00-\xff]{0,200}PE\x00\x00", "a Windows program", ""),
    (rb"\xca\xfe\xba\xbe|\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe", "a program", ""),
    (rb"\xde\x12\x04\x95|\x95\x04\x12\xde", "a compiled gettext catalogue (.mo)", "msgunfmt"),
    (rb"version https://git-lfs\.github\.com/spec/v", POINTER, ""),
    (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a", "an image", ""),
    (rb"RIFF.{4}(WAVE|AVI |WEBP)|ID3[\x02-\x04]|OggS|fLaC", "a sound or video file", ""),
)
_KINDS = tuple((re.compile(magic, re.DOTALL), name, command) for magic, name, command in _MAGIC)
_MEMBER = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)
_FIRST_OF_OFFICE = (
    "[Content_Types].xml docProps/ _rels/ customXml/ xl/ word/ ppt/ mimetype META-INF/ content.xml styles.xml"
    " meta.xml settings.xml manifest.rdf Thumbnails/ Configurations2/"
)
"""How the name of the first member of an office document begins."""
_OFFICE = {
    "xl/": "an Excel workbook (.xlsx)",
    "word/": "a Word document (.docx)",
    "ppt/": "a PowerPoint presentation (.pptx)",
    "META-INF/container.xml": "an EPUB book",
    "META-INF/manifest.xml": "an OpenDocument file",
    "content.xml": "an OpenDocument file",
    "[Content_Types].xml": "an Excel or Word document",
    "docProps/": "an Excel or Word document",
}
"""Office documents, which are ZIP archives, by how the names of their members begin."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes:
      name: its name, for a message.
      command: a command that writes its text; empty: none.
    """

    name: str
    command: str = ""


def kind_of(head: bytes) -> Kind | None:
    """The kind of a file with these first bytes by its magic number; None if it has none of the known."""
    for magic, name, command in _KINDS:
        if magic.match(head):
            office = _office_name(head) if head.startswith(b"PK") else ""
            return Kind(office) if office else Kind(name, command)
    return None


def zip_members(head: bytes) -> list[str]:
    """The names of the members of a ZIP archive that begin in its first bytes."""
    names = []
    for match in _MEMBER.finditer(head):
        size = int.from_bytes(match[1], "little")
        names.append(head[match.end() : match.end() + size].decode("utf-8", "replace"))
    return names


def _office_name(head: bytes) -> str:
    """Which office document a ZIP archive is; empty: none."""
    names = zip_members(head)
    if not names or not names[0].startswith(tuple(_FIRST_OF_OFFICE.split())):
        return ""  # documents within an archive have such members, too
    return next((kind for begin, kind in _OFFICE.items() if any(n.startswith(begin) for n in names)), "")


def command_for(kind: Kind, path: str) -> str:
    """The command that writes the text of a file."""
    return f"{kind.command} {shell_path(path)}"


def first_bytes(path: str) -> bytes:
    """The bytes that a compressed stream may begin with, by the ending of the file name."""
    return next(first for ending, first in _FIRST_BYTES.items() if path.endswith(ending))


def check_compression(head: bytes, path: str) -> None:
    """Checks that a file whose name has one of the endings of `COMPRESSED` is compressed in this way.

    Raises:
      DataError: it is not.
    """
    ending = next((ending for ending in COMPRESSED if path.endswith(ending)), "")
    kind = kind_of(head)
    expected = COMPRESSED.get(ending)
    if not head or expected is None or (kind is not None and kind.name == expected):
        return
    endings = [other for other, name in COMPRESSED.items() if kind is not None and name == kind.name]
    if kind is not None and kind.name == POINTER:
        actual, remedy = POINTER, FETCH
    elif kind is not None:
        actual = kind.name
        remedy = f"rename it, with the ending {endings[0]}" if endings else f"rename it, without {ending}"
    elif head.translate(None, delete=_CONTROLS) == head:
        actual, remedy = "plain text", f"rename it, without the ending {ending}"
    else:
        actual, remedy = "other data", "check how the file was made, or fetch it again"
    raise DataError(f"cannot read {path_text(path)}: it is {actual}, not {expected} as its name says", remedy)


def check_text(head: bytes, path: str | None) -> None:
    """Checks that the first bytes of a decompressed file are text.

    Args:
      head: the first bytes, at most `HEAD_BYTES` of which are looked at.
      path: the file; None: standard input.

    Raises:
      DataError: it is compressed, another kind of file, UTF-16, UTF-32 or binary data.
    """
    head = head[:HEAD_BYTES]
    name, argument = "standard input", ""
    if path:
        name, argument = path_text(path), f" {shell_path(path)}"
    if kind := kind_of(head):
        compressed = f"{kind.name} data" if not kind.name.startswith(("a ", "an ")) else kind.name
        endings = [ending for ending, known in COMPRESSED.items() if known == kind.name]
        remedy = "save its sentences as text in UTF-8, for example as TSV"
        if kind.command:
            remedy = f"decompress it: {kind.command}{argument}"
        if endings and path and not path.endswith(endings[0]):
            remedy = f"rename it, with the ending {endings[0]}; or {remedy}"
        raise DataError(f"cannot read {name}: it is {compressed}, not text", remedy)
    if encoding := wide_encoding(head):
        raise DataError(
            f"cannot read {name}: it is {encoding} text, not UTF-8", encodings.remedy(encoding, path)
        )
    if head.isascii() and 2 <= len(re.findall(rb"\x1b\$[@B]", head)) <= len(re.findall(rb"\x1b\([BJ]", head)):
        raise DataError(
            f"cannot read {name}: it is ISO-2022-JP text, not UTF-8", encodings.remedy("ISO-2022-JP", path)
        )
    controls = len(head) - len(head.translate(None, delete=_CONTROLS))
    if len(head) >= _LEAST_BINARY_BYTES and controls > _BINARY_SHARE * len(head):
        raise DataError(
            f"cannot read {name}: it is binary data, not text ({controls / len(head):.0%} of its first"
            f" {len(head):,} bytes are control characters)",
            "name a text file in UTF-8",
        )


def wide_encoding(head: bytes) -> str:
    """UTF-16 or UTF-32 by the byte order mark or, with its byte order, by where the zero bytes are; or ""."""
    for mark, name in _MARKS:
        # The mark of UTF-32LE is that of UTF-16LE and a NUL.
        if head.startswith(mark):
            return name
    if b"\x00" not in head or len(head) < _LEAST_UTF16_BYTES:
        return ""
    for name, size in (("UTF-32LE", 4), ("UTF-32BE", 4), ("UTF-16LE", 2), ("UTF-16BE", 2)):
        if _is_plausible(head[: len(head) // size * size], name):
            return name
    return ""


def _is_plausible(head: bytes, encoding: str) -> bool:
    """Whether bytes are text in an encoding: blanks and line feeds are whole units, characters are known."""
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(head)
    except UnicodeDecodeError:
        return False
    sample = text[:2000]
    separators = sum(map(sample.count, "\n\r\t "))
    size = len(head) // max(1, len(text))
    bytes_of_separators = sum(head[: len(sample) * size].count(byte) for byte in b"\n\r\t ")
    if not separators or 2 * separators < bytes_of_separators:
        return False
    known = [unicodedata.category(c) not in ("Cn", "Co", "Cc") or c in "\t\n\r" for c in sample]
    return sum(known) > 0.98 * len(known)
