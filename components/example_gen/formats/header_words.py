"""Recognizes names of a source and a target column in several languages.

A cell alone does not tell: `Original text` and `Texto original` are a sentence pair. But `Original` and
`Translation` do not translate each other, nor do `Deutsch` and `Englisch`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SOURCE_TEXT = (
    "source src original originale originaltext ausgangstext quelltext quelltexte quelle quellsprache"
    " ausgangssprache quellsatz fuente origen origem origine fonte bron brontekst źródło källa källtext"
    " источник оригинал исходный 原文 question questions frage pregunta pergunta domanda вопрос prompt"
    " input instruction"
)
_SOURCE = frozenset(_SOURCE_TEXT.split())
_TARGET_TEXT = (
    "target tgt trg translation translated übersetzung uebersetzung zieltext zieltexte ziel zielsprache"
    " zielsatz traducción traduccion traducido tradução traducao traduzido traduction traduit traduzione"
    " tradotto vertaling doel doeltekst tłumaczenie översättning måltext перевод переведённый 译文 訳文 翻译"
    " destino destinazione cible answer answers antwort respuesta resposta réponse reponse risposta"
    " ответ response output completion"
)
_TARGET = frozenset(_TARGET_TEXT.split())
_OTHERS_TEXT = (
    "text texto texte testo tekst текст sentence satz oración frase phrase zdanie предложение segment"
    " segmento language sprache idioma langue lingua taal язык in into to from the of auf aus ins im al"
    " del de en à au du la le el do di il in para nach na"
)
_OTHERS = frozenset(_OTHERS_TEXT.split())
_ENGLISH_TEXT = (
    "english spanish german french italian portuguese russian chinese japanese dutch polish arabic"
)
_ENGLISH = frozenset(_ENGLISH_TEXT.split())
_NAMES = tuple(
    frozenset(names.split())
    for names in (
        "englisch deutsch spanisch französisch italienisch portugiesisch russisch chinesisch japanisch"
        " polnisch niederländisch türkisch arabisch tschechisch schwedisch dänisch katalanisch",
        "inglés español alemán francés italiano portugués ruso chino japonés polaco neerlandés turco árabe"
        " catalán gallego euskera sueco",
        "anglais français allemand espagnol italien portugais russe chinois japonais polonais néerlandais"
        " turc arabe tchèque suédois catalan",
        "inglese italiano tedesco francese spagnolo portoghese russo cinese giapponese polacco olandese turco"
        " arabo",
        "inglês português alemão francês espanhol italiano russo chinês japonês polonês holandês turco árabe",
        "английский русский немецкий французский испанский итальянский китайский японский польский",
        "英文 中文 德文 法文 日文 西班牙文 俄文",
        "英语 汉语 德语 法语 日语 西班牙语 俄语",
        "english deutsch español français italiano português русский nederlands polski svenska dansk norsk"
        " suomi čeština türkçe català galego euskara 中文 日本語 한국어 українська",
    )
)
"""Names of languages in one language each; the last: of each language in itself."""
_LANGUAGES = _ENGLISH.union(*_NAMES)
_WORD = re.compile(r"[^\W_]+")
_PLAIN = re.compile(r"[\w\s()\[\]-]+")
_IN_BRACKETS = re.compile(r"\s*[(\[][\w\s,-]+[)\]]$")
_MOST_WORDS = 5


def without_brackets(text: str) -> str:
    """A name without what stands in brackets after it: `English` of `English (US)`."""
    return _IN_BRACKETS.sub("", text)


def side_of(cell: str) -> str:
    """`source` or `target` if all words of a cell may name such a column, and one says which; else empty."""
    cell = cell.strip().strip("\"'").lower()
    words = _WORD.findall(cell)
    if not words or len(words) > _MOST_WORDS or not _PLAIN.fullmatch(cell):
        return ""
    if not all(word in _SOURCE | _TARGET | _OTHERS | _LANGUAGES for word in words):
        return ""
    is_source, is_target = any(word in _SOURCE for word in words), any(word in _TARGET for word in words)
    if is_source == is_target:
        return ""
    return "source" if is_source else "target"


def name_both_sides(cells: Sequence[str]) -> bool:
    """Whether one cell names a source and one a target, or all name different languages in one language."""
    if {side_of(cell) for cell in cells} >= {"source", "target"}:
        return True
    names = {without_brackets(cell.strip().strip("\"'")).lower() for cell in cells}
    return len(names) == len(cells) > 1 and any(names <= languages for languages in _NAMES)
