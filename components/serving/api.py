"""The JSON API of the page: the versions, and translations of whole paragraphs."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import msgspec
import numpy as np

from bitext.components.serving import alignment
from bitext.components.serving.catalog import Version
from bitext.components.serving.errors import INVALID, RequestError
from bitext.components.serving.limits import check_texts
from bitext.components.serving.loaded import LoadedVersion
from bitext.components.serving.service import Service
from bitext.components.serving.tensors import Arrays
from bitext.components.text.normalization import is_blank
from bitext.components.translation.sentences import split
from bitext.components.translation.translator import UNFILLED_SCORE

TEXT_FACTOR = 5
"""Characters of a text of several sentences: this number times the limit of one."""


class TranslateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/translate`.

    Attributes:
      text: one or more paragraphs.
      version: the version that translates; null: the served one.
      nbest: number of translations of each sentence.
      alignment: whether each translation comes with its alignment.
    """

    text: str
    version: int | None = None
    nbest: int = 1
    alignment: bool = False


class Aligned(msgspec.Struct, frozen=True):
    """The alignment of a translation between units: words, or tokens where a script has no spaces.

    Attributes:
      source: the parts of the sentence, each with the index of its unit; null: a space.
      target: the parts of the translation.
      weights: for each unit of the translation, the weight of each unit of the sentence.
    """

    source: list[tuple[str, int | None]]
    target: list[tuple[str, int | None]]
    weights: list[list[float]]


class SentenceTranslation(msgspec.Struct, frozen=True):
    """A translation of a sentence.

    Attributes:
      text: the translation.
      score: its score.
      alignment: its alignment; null: not asked for, or not available.
    """

    text: str
    score: float
    alignment: Aligned | None = None


class Sentence(msgspec.Struct, frozen=True):
    """A sentence with its translations.

    Attributes:
      source: the sentence.
      paragraph: the number of its line in the text, from 0.
      translations: its translations, best first.
      tokens: number of its tokens.
      is_cut: whether it is longer than the model reads, so that its end is not translated.
    """

    source: str
    paragraph: int
    translations: list[SentenceTranslation]
    tokens: int
    is_cut: bool


class TranslateAnswer(msgspec.Struct, frozen=True):
    """The answer of `POST /api/translate`.

    Attributes:
      version: the version that translated.
      paragraphs: number of lines of the text.
      sentences: the sentences of the text, in order.
      milliseconds: duration in the server, without loading the version.
    """

    version: int
    paragraphs: int
    sentences: list[Sentence]
    milliseconds: float


class Api:
    """The API.

    Args:
      service: what answers.
    """

    def __init__(self, service: Service):
        self._service = service

    def versions(self) -> bytes:
        """Returns the body of `GET /api/versions`: the versions on disk, newest first."""
        manager, limits = self._service.manager, self._service.settings.limits
        loaded = manager.loaded()
        candidate = manager.candidate
        served = loaded.get(manager.served) if manager.served is not None else None
        document = {
            "model": self._service.name,
            "served": manager.served,
            "source_language": served.translator.source_language if served else "",
            "extra_versions": self._service.settings.extra_versions,
            "limits": {"text": TEXT_FACTOR * limits.characters, "nbest": limits.beam},
            "versions": [self._described(version, candidate) for version in manager.versions],
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
        except (msgspec.DecodeError, RecursionError) as error:
            raise RequestError(
                INVALID, f"the request is not of the form of /api/translate: {error}"
            ) from error
        limits = self._service.settings.limits
        if len(request.text) > TEXT_FACTOR * limits.characters:
            raise RequestError(
                INVALID,
                f"'text': {len(request.text):,} characters are more than the limit of"
                f" {TEXT_FACTOR * limits.characters:,}",
            )
        if not 1 <= request.nbest <= limits.beam:
            raise RequestError(INVALID, f"'nbest' must be 1 to {limits.beam}, received {request.nbest}")
        return request

    async def _sentences(
        self, loaded: LoadedVersion, sentences: list[tuple[int, bytes]], request: TranslateRequest
    ) -> list[Sentence]:
        """Translates sentences, each of which stands with the number of its line."""
        limits = self._service.settings.limits
        if len(sentences) > limits.instances:
            raise RequestError(
                INVALID,
                f"'text': {len(sentences):,} sentences are more than the limit of {limits.instances:,}",
            )
        if request.alignment and len(sentences) * request.nbest > limits.instances:
            raise RequestError(
                INVALID,
                f"'alignment': {len(sentences):,} sentences with {request.nbest} translations each are more than"
                f" the limit of {limits.instances:,} alignments",
            )
        texts = [text for _, text in sentences]
        check_texts("text", texts, limits)
        if not texts:
            return []
        signature, inputs = self._search(loaded, texts, request.nbest)
        tokenized, outputs = await asyncio.gather(
            self._call(loaded, "tokenize", {"text": inputs["text"]}), self._call(loaded, signature, inputs)
        )
        totals = tokenized.get("total_length", tokenized["length"]).tolist()
        answers = []
        for row, (paragraph, text) in enumerate(sentences):
            length = int(tokenized["length"][row])
            found = _translations(outputs, row, request.nbest)
            if request.alignment:
                found = await self._aligned(loaded, text.decode(), found, outputs, row)
            answers.append(
                Sentence(
                    text.decode(),
                    paragraph,
                    [translation for _, translation in found],
                    totals[row],
                    totals[row] > length,
                )
            )
        return answers

    def _search(self, loaded: LoadedVersion, texts: list[bytes], nbest: int) -> tuple[str, Arrays]:
        """Returns the signature that translates, and its inputs."""
        array = np.array(texts, object)
        if nbest == 1:
            return "serving_default", {"text": array}
        search = loaded.default_search()
        beam = max(int(search["beam_size"]), nbest)
        search["beam_size"] = np.array(beam, search["beam_size"].dtype)
        limits = self._service.settings.limits
        # The default search may be wider than a client may ask for, but not larger in all.
        longest = max(1, limits.tokens // (len(texts) * beam))
        search["max_length"] = np.minimum(search["max_length"], longest).astype(search["max_length"].dtype)
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
