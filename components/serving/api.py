"""The JSON API of the page: the versions, and translations of whole paragraphs."""

from __future__ import annotations

import asyncio
import collections
import math
from typing import Any

import msgspec
import numpy as np

from bitext.components.serving import alignment
from bitext.components.serving.catalog import Version
from bitext.components.serving.errors import INVALID, RequestError
from bitext.components.serving.loaded import LoadedVersion
from bitext.components.serving.messages import (
    Aligned,
    Sentence,
    SentenceTranslation,
    TranslateAnswer,
    TranslateRequest,
)
from bitext.components.serving.service import Service
from bitext.components.serving.tensors import Arrays, surrogate_problem
from bitext.components.text.normalization import is_blank
from bitext.components.translation.sentences import split
from bitext.components.translation.translator import UNFILLED_SCORE

TEXT_FACTOR, TRANSLATIONS_FACTOR = 5, 32
"""Characters of a text of several sentences: this number times the limit of one. And translations of all its
sentences: this number times the limit of instances."""
SHOWN_CHARACTERS = 30
"""Characters of a sentence that an error repeats."""
REMEMBERED = 4096
"""Sentences whose translations are remembered."""


class Api:
    """The API.

    Args:
      service: what answers.
    """

    def __init__(self, service: Service):
        self._service = service
        self._recent: collections.OrderedDict[tuple[int, int, bytes], Sentence] = collections.OrderedDict()

    def versions(self) -> bytes:
        """Returns the body of `GET /api/versions`: the versions on disk or in memory, newest first."""
        manager, limits = self._service.manager, self._service.settings.limits
        loaded = manager.loaded()
        candidate = manager.candidate
        served = loaded.get(manager.served) if manager.served is not None else None
        document = {
            "model": self._service.name,
            "served": manager.served,
            "source_language": served.translator.source_language if served else "",
            "extra_versions": self._service.settings.extra_versions,
            "beam_size": served.default_beam if served else 0,
            "limits": {
                "text": TEXT_FACTOR * limits.characters,
                "nbest": limits.beam,
                "instances": limits.instances,
            },
            "versions": [self._described(version, candidate) for version in manager.listed()],
        }
        return msgspec.json.encode(document)

    def _described(self, version: Version, candidate: int | None) -> dict[str, Any]:
        manager = self._service.manager
        state = manager.states.get(version.number)
        withdrawal = version.withdrawal
        return {
            "version": version.number,
            "state": state.state if state else "END",
            "error": state.error if state else "",
            "served": version.number == manager.served,
            "candidate": version.number == candidate,
            "withdrawn": {"reason": withdrawal.reason, "time": withdrawal.time} if withdrawal else None,
            "copy_of": version.copy_of,
            "bleu": version.bleu,
            "pipeline": version.pipeline,
        }

    async def translate(self, body: bytes) -> bytes:
        """Returns the body of `POST /api/translate`.

        Raises:
          RequestError: the request is not of that form, exceeds a limit, or the version cannot be loaded.
        """
        request = self._parse(body)
        manager = self._service.manager
        if request.version is not None and request.version not in manager.loaded():
            await manager.borrow(request.version)
        start = asyncio.get_running_loop().time()
        with manager.use(request.version) as loaded:
            lines = request.text.split("\n")
            language = loaded.translator.source_language or None
            sentences = await asyncio.to_thread(_split, lines, language)
            answers = await self._sentences(loaded, sentences, request)
            answer = TranslateAnswer(
                loaded.version.number,
                len(lines),
                answers,
                round(1000 * (asyncio.get_running_loop().time() - start), 1),
            )
        return msgspec.json.encode(answer)

    def _parse(self, body: bytes) -> TranslateRequest:
        try:
            request = msgspec.json.decode(body, type=TranslateRequest)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            problem = surrogate_problem(body) or error
            raise RequestError(
                INVALID, f"the request is not of the form of /api/translate: {problem}"
            ) from error
        limits = self._service.settings.limits
        if len(request.text) > TEXT_FACTOR * limits.characters:
            raise RequestError(
                INVALID,
                f"the text has {len(request.text):,} characters, more than the limit of"
                f" {TEXT_FACTOR * limits.characters:,}; translate it in parts",
            )
        if not 1 <= request.nbest <= limits.beam:
            raise RequestError(INVALID, f"'nbest' must be 1 to {limits.beam}, received {request.nbest}")
        return request

    async def _sentences(
        self, loaded: LoadedVersion, sentences: list[tuple[int, bytes]], request: TranslateRequest
    ) -> list[Sentence]:
        """Translates sentences, each of which stands with the number of its line."""
        texts = list(dict.fromkeys(text for _, text in sentences))
        self._check(texts, request)
        translated: dict[bytes, Sentence] = {}
        for text in texts:
            key = loaded.serial, request.nbest, text
            if not request.alignment and key in self._recent:
                self._recent.move_to_end(key)
                translated[text] = self._recent[key]
        missing = [text for text in texts if text not in translated]
        if missing:
            translated |= await self._translate_all(loaded, missing, request)
        return [
            msgspec.structs.replace(translated[text], paragraph=paragraph) for paragraph, text in sentences
        ]

    def _check(self, texts: list[bytes], request: TranslateRequest) -> None:
        """Checks the size of a request.

        Raises:
          RequestError: it is too large.
        """
        limits, translations = self._service.settings.limits, len(texts) * request.nbest
        for text in texts:
            sentence = text.decode("utf-8", "replace") if len(text) > limits.characters else ""
            if len(sentence) > limits.characters:
                raise RequestError(
                    INVALID,
                    f"the sentence that begins with \u201c{sentence[:SHOWN_CHARACTERS]}\u2026\u201d has"
                    f" {len(sentence):,} characters, more than the limit of {limits.characters:,}; divide it"
                    " with a full stop or a line break",
                )
        what, limit = "translations", TRANSLATIONS_FACTOR * limits.instances
        if request.alignment:
            what, limit = "alignments", limits.instances
        if translations > limit:
            fewer = "ask for fewer translations of each sentence, or " if request.nbest > 1 else ""
            raise RequestError(
                INVALID,
                f"the text has {len(texts):,} sentences: with {request.nbest} translations each, that is more"
                f" than the limit of {limit:,} {what}; {fewer}translate the text in parts",
            )

    async def _translate_all(
        self, loaded: LoadedVersion, texts: list[bytes], request: TranslateRequest
    ) -> dict[bytes, Sentence]:
        """Translates different sentences. The newest are remembered: a person changes one at a time."""
        signature, inputs = self._search(loaded, texts, request.nbest)
        tokenized, outputs = await asyncio.gather(
            self._call(loaded, "tokenize", {"text": inputs["text"]}), self._call(loaded, signature, inputs)
        )
        totals = tokenized.get("total_length", tokenized["length"]).tolist()
        translated = {}
        for row, text in enumerate(texts):
            found = _translations(outputs, row, request.nbest)
            if request.alignment:
                found = await self._aligned(loaded, text.decode(), found, outputs, row)
            is_cut = totals[row] > int(tokenized["length"][row])
            translations = [translation for _, translation in found]
            sentence = translated[text] = Sentence(text.decode(), 0, translations, totals[row], is_cut)
            if not request.alignment:
                self._recent[loaded.serial, request.nbest, text] = sentence
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return translated

    def _search(self, loaded: LoadedVersion, texts: list[bytes], nbest: int) -> tuple[str, Arrays]:
        """Returns the signature that translates, and its inputs."""
        array = np.array(texts, object)
        if nbest == 1:
            return "serving_default", {"text": array}
        search = loaded.default_search()
        beam = max(int(search["beam_size"]), nbest)
        search["beam_size"] = np.array(beam, search["beam_size"].dtype)
        return "translate_nbest", {"text": array, **search}

    async def _call(self, loaded: LoadedVersion, signature: str, inputs: Arrays) -> Arrays:
        loaded.signature(signature)
        return await self._service.predict(loaded, signature, inputs, checked=True)

    async def _aligned(
        self,
        loaded: LoadedVersion,
        source: str,
        found: list[tuple[int, SentenceTranslation]],
        outputs: Arrays,
        row: int,
    ) -> list[tuple[int, SentenceTranslation]]:
        """Adds the alignments to the translations of a sentence, if the model tells their tokens."""
        if not source or len(source) > alignment.MAX_CHARACTERS:
            return found
        beginnings = np.array([text.encode() for text in alignment.prefixes(source)], object)
        tokenized = await self._call(loaded, "tokenize", {"text": beginnings})
        ends = alignment.source_ends(source, tokenized["tokens"], tokenized["length"])
        if ends is None:
            return found
        source_units = alignment.units(source, ends)
        aligned = []
        for rank, translation in found:
            ends = await self._target_ends(loaded, translation.text, outputs, row, rank)
            if ends is None:
                aligned.append((rank, translation))
                continue
            target_units = alignment.units(translation.text, ends)
            weights = alignment.between_units(
                _of(outputs["alignment"], row, rank), source_units, target_units
            )
            shown = Aligned(source_units.pieces, target_units.pieces, weights)
            aligned.append((rank, msgspec.structs.replace(translation, alignment=shown)))
        return aligned

    async def _target_ends(
        self, loaded: LoadedVersion, text: str, outputs: Arrays, row: int, rank: int
    ) -> list[int] | None:
        """Returns where each token of a translation ends; None: the model does not tell its tokens."""
        length = int(_of(outputs["length"], row, rank))
        if not length or not text:
            return []
        if "tokens" in outputs:
            tokens = _of(outputs["tokens"], row, rank)[:length]
            beginnings = np.tril(np.broadcast_to(tokens, (length, length))).astype(np.int32)
            detokenized = await self._call(loaded, "detokenize", {"tokens": beginnings})
            texts = [beginning.decode("utf-8", "replace") for beginning in detokenized["text"].tolist()]
            return alignment.target_ends(text, texts)
        # A model of bitext 0.2.0 or earlier: the tokens of each word are counted.
        words = np.array([word.encode() for word in text.split()], object)
        scored = await self._call(
            loaded, "score", {"source": np.full(len(words), b"", object), "target": words}
        )
        return alignment.ends_of_words(text, (scored["length"] - 1).tolist(), length - 1)


def _split(lines: list[str], language: str | None) -> list[tuple[int, bytes]]:
    """Returns the sentences of each line with the line's number, without blank lines."""
    return [
        (number, sentence)
        for number, line in enumerate(lines)
        if not is_blank(line)
        for sentence in split(line.encode("utf-8", "replace"), language)
    ]


def _of(array: np.ndarray[Any, Any], row: int, rank: int) -> Any:
    """Returns an output of one translation; signatures with one translation a text have no axis for it."""
    return array[row] if rank < 0 else array[row, rank]


def _translations(outputs: Arrays, row: int, nbest: int) -> list[tuple[int, SentenceTranslation]]:
    """Returns the different translations of a text, best first, with their positions in the outputs."""
    texts, scores = outputs["text"][row], outputs["score"][row]
    if not isinstance(texts, np.ndarray):
        return [(-1, SentenceTranslation(texts.decode("utf-8", "replace"), _number(scores)))]
    found: dict[str, tuple[int, SentenceTranslation]] = {}
    for rank, (text, score) in enumerate(zip(texts.tolist(), scores.tolist(), strict=True)):
        decoded = text.decode("utf-8", "replace")
        if rank < nbest and (not found or score > UNFILLED_SCORE):
            found.setdefault(decoded, (rank, SentenceTranslation(decoded, _number(score))))
    return list(found.values())


def _number(score: Any) -> float:
    """Returns a score for JSON, which has no NaN."""
    value = float(score)
    return round(value, 4) if math.isfinite(value) else UNFILLED_SCORE
