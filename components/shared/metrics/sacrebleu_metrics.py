"""The metrics of sacreBLEU. No other module uses sacreBLEU's private members.

sacreBLEU's public functions score a corpus at once. Intervals in bounded memory, scores by sentence length
and paired comparisons need the statistics of each sentence, which only its private methods return.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from bitext.components.shared.metrics import tokenizers
from bitext.components.shared.metrics.metric import Metric, MetricOptions
from bitext.schemas import scripts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from sacrebleu.metrics.base import Metric as SacreBleu

    from bitext.components.shared.metrics.metric import SentenceStatistics

    CodePoints = npt.NDArray[np.uint32]

ReferenceStreams = list[list[str | None]]
"""References in sacreBLEU's form: stream k holds the k-th reference of each sentence, or None."""


def reference_streams(references: Sequence[Sequence[str]]) -> ReferenceStreams:
    """Returns the references of each sentence in sacreBLEU's form."""
    stream_count = max(len(of_sentence) for of_sentence in references)
    return [
        [of_sentence[k] if k < len(of_sentence) else None for of_sentence in references]
        for k in range(stream_count)
    ]


class SacreBleuMetric(Metric):
    """Adapter for a metric of sacreBLEU, which a subclass makes in `make`."""

    def __init__(self, references: Sequence[Sequence[str]], options: MetricOptions):
        super().__init__(references, options)
        self._metric = self.make(reference_streams(references))

    @abc.abstractmethod
    def make(self, streams: ReferenceStreams) -> SacreBleu:
        """Returns sacreBLEU's metric with these references."""

    def statistics(self, hypotheses: Sequence[str]) -> SentenceStatistics:
        import numpy as np

        # None: sacreBLEU uses the references of its constructor.
        return np.asarray(self._metric._extract_corpus_statistics(hypotheses, None), np.float64)

    def corpus_score(self, sums: SentenceStatistics) -> float:
        return float(self._metric._compute_score_from_stats(sums).score)

    def signature(self) -> str:
        from bitext.components.shared.metrics import bootstrap

        self._metric.n_bootstrap, self._metric.seed = self.options.bootstrap_samples, str(bootstrap.SEED)
        return str(self._metric.get_signature())


class Bleu(SacreBleuMetric):
    """BLEU: precision of n-grams of tokens, with a penalty for short translations.

    Raises:
      ConfigError: the tokenizer does not suit the script of the references (see `tokenizers.resolve`).
    """

    name, label = "bleu", "BLEU"

    def make(self, streams: ReferenceStreams) -> SacreBleu:
        from sacrebleu.metrics import BLEU

        tokenizer = tokenizers.resolve(self.options.tokenize, self.references).tokenizer
        # `force` disables sacreBLEU's warning that sentences ending in " ." may not be detokenized.
        return BLEU(lowercase=self.options.lowercase, tokenize=tokenizer, force=True, references=streams)

    def sentence_score(self, statistics: SentenceStatistics) -> float:
        """Returns the smoothed BLEU of a sentence, as sacreBLEU's `sentence_bleu` defines it.

        N-grams that are longer than the translation are left out (`eff:yes` in the signature), and the first
        order without a match counts half a match, the next a quarter (`smooth:exp`).
        """
        metric = copy.copy(self._metric)
        metric.effective_order = True
        return float(metric._compute_score_from_stats(statistics).score)

    @staticmethod
    def length_ratio(statistics: SentenceStatistics) -> float:
        """Returns the tokens of the hypotheses divided by the tokens of the closest references."""
        hypothesis_tokens, reference_tokens = statistics[:, :2].sum(axis=0)
        return float(hypothesis_tokens / reference_tokens) if reference_tokens else 0.0


class ChrF(SacreBleuMetric):
    """chrF: F-score of character n-grams (Popović 2015). It needs no tokenizer."""

    name, label = "chrf", "chrF"
    word_order: ClassVar[int] = 0

    def make(self, streams: ReferenceStreams) -> SacreBleu:
        from sacrebleu.metrics import CHRF

        return CHRF(lowercase=self.options.lowercase, word_order=self.word_order, references=streams)


class ChrFPlusPlus(ChrF):
    """chrF++: chrF with n-grams of one and two words (Popović 2017).

    Words are what stands between blanks, in every script, as sacreBLEU and published scores have it.
    """

    name, label = "chrfpp", "chrF++"
    word_order = 2


class Ter(SacreBleuMetric):
    """TER, translation edit rate: edits and shifts of words per reference word (Snover et al. 2006).

    Text is split into words at spaces, sacreBLEU's default, so punctuation is part of a word. For references
    in Han characters, kana or Hangul, sacreBLEU's `normalized` and `asian_support` split Han characters and
    punctuation. In other scripts without blanks between words, edits of characters are counted, without
    shifts, whose search would take a second for a long sentence. The signature shows which of these applies:
    `asian:yes`, or `tok:char` and `shift:no`.
    """

    name, label, bounds, higher_is_better = "ter", "TER", "0 (best) upwards", False
    _by_character = False

    def make(self, streams: ReferenceStreams) -> SacreBleu:
        from sacrebleu.metrics import TER

        texts = tokenizers.sample(self.references)
        script = scripts.dominant_script(texts)
        asian = script in ("Han", scripts.JAPANESE, "Hangul")
        self._by_character = not (
            asian or scripts.counts_words(script) or scripts.is_segmented(texts, script)
        )
        return TER(
            normalized=asian,
            asian_support=asian,
            case_sensitive=not self.options.lowercase,
            references=streams,
        )

    def statistics(self, hypotheses: Sequence[str]) -> SentenceStatistics:
        """Returns the edits and the mean reference length of each sentence, float64[sentences, 2]."""
        if not self._by_character:
            return super().statistics(hypotheses)
        import numpy as np

        rows = np.zeros((len(hypotheses), 2))
        for row, hypothesis, references in zip(rows, hypotheses, self.references, strict=True):
            codes, reference_codes = self._codes(hypothesis), [self._codes(text) for text in references]
            row[:] = (
                min(edit_distance(codes, reference) for reference in reference_codes),
                np.mean([len(reference) for reference in reference_codes]),
            )
        return rows

    def signature(self) -> str:
        signature = super().signature()
        if self._by_character:
            signature = signature.replace("tok:tercom", "tok:char").replace("|version:", "|shift:no|version:")
        return signature

    def _codes(self, text: str) -> CodePoints:
        """Returns the code points of a text without white space, in lower case if case is ignored."""
        import numpy as np

        text = "".join(text.split())
        text = text.lower() if self.options.lowercase else text
        return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def edit_distance(hypothesis: CodePoints, reference: CodePoints) -> int:
    """Returns the smallest number of insertions, deletions and substitutions (Levenshtein 1966)."""
    import numpy as np

    columns = np.arange(len(reference) + 1)
    row = columns
    for code in hypothesis:
        best = row + 1
        np.minimum(best[1:], row[:-1] + (reference != code), out=best[1:])
        # An insertion costs 1 more than the column to the left.
        row = np.minimum.accumulate(best - columns) + columns
    return int(row[-1])
