"""The languages of the families of corpora, as their packages name them, in lower case with hyphens."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The packages libreoffice-l10n-* and libreoffice-help-* of Debian 12.
LIBREOFFICE = _names(
    """
    af am ar as ast be bg bn br bs ca cs cy da de dz el en-gb en-za eo es et eu fa fi fr ga gd gl gu gug
    he hi hr hu id is it ja ka kk km kmr kn ko lt lv mk ml mn mr nb ne nl nn nr nso oc om or pa-in pl pt
    pt-br ro ru rw si sk sl sr ss st sv szl ta te tg th tn tr ts ug uk uz ve vi xh zh-cn zh-tw zu
    """
)
LIBREOFFICE_HELP = _names(
    """
    ca cs da de dz el en-gb es et eu fi fr gl hi hu id it ja km ko nl om pl pt pt-br ru sk sl sv tr vi
    zh-cn zh-tw
    """
)
# The folders `locale` in the wheels.
PRETIX = _names(
    """
    ar ca cs da de de-informal el es eu fi fr gl he hr hu id it ja ko lt lv nb-no nl nl-be nl-informal
    pl pl-informal pt pt-br pt-pt ro ru sk sl sv th tr uk vi zh-hans zh-hant
    """
)
DJANGO = _names(
    """
    af ar ar-dz ast az be bg bn br bs ca ckb cs cy da de dsb el en-au en-gb eo es es-ar es-co es-mx
    es-ve et eu fa fi fr fy ga gd gl he hi hr hsb hu hy ia id ig io is it ja ka kab kk km kn ko ky lb lt lv
    mk ml mn mr ms my nb ne nl nn os pa pl pt pt-br ro ru sk sl sq sr sr-latn sv sw ta te tg th tk tr tt
    udm ug uk ur uz vi zh-hans zh-hant
    """
)
