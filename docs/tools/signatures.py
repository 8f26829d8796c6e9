"""Exports a small model and prints its signatures as JSON, for the reference. Imports TensorFlow."""

from __future__ import annotations

import inspect
import json
import tempfile
from pathlib import Path
from typing import Any

from bitext.components.seq2seq import ServingLimits

AXES = {
    "text": ("B",),
    "source": ("B",),
    "target": ("B",),
    "token": ("B",),
    "seed": ("2",),
    "score": ("B",),
    "log_prob": ("B",),
    "length": ("B",),
    "total_length": ("B",),
    "alignment": ("B", "T", "S"),
    "memory": ("B", "S", "D"),
    "memory_length": ("B",),
    "memory_keys": ("B", "S", "K"),
    "log_probs": ("B", "V"),
    "tokens": ("B", "T"),
    "prefix": ("B",),
    "required": ("B", "M"),
    "banned": ("B", "M"),
}
"""What the dimensions of a tensor are; other tensors are the decoder's states, or scalars."""
SEVERAL = {"text": ("B", "N"), "score": ("B", "N"), "log_prob": ("B", "N"), "length": ("B", "N"),
           "tokens": ("B", "N", "T"), "alignment": ("B", "N", "T", "S"),
           "token_log_probs": ("B", "N", "T"), "meets_constraints": ("B", "N")}  # fmt: skip
"""Outputs of the signatures that return several translations of a sentence."""
ONLY = {
    ("tokenize", "tokens"): ("B", "S"),
    ("encode_tokens", "tokens"): ("B", "S"),
    ("decode_step", "alignment"): ("B", "S"),
}
MEANINGS = {
    "text": "Text, UTF-8.",
    "source": "Source sentences.",
    "target": "Their translations.",
    "score": "What translations are ranked by: see [Search](../concepts/search.md#the-score).",
    "log_prob": "Log probability of the translation.",
    "length": "Number of tokens, `</s>` included.",
    "total_length": "Number of tokens of the whole text, `</s>` included, before it is cut.",
    "source_max_length": "Maximum number of source tokens, `</s>` included.",
    "alignment": "For each target token, the attention to each source token.",
    "tokens": "Token ids, padded with 0.",
    "token": "The last token; at first `bos`.",
    "memory": "The encoder's outputs; `decode_step` takes one row for all hypotheses, too.",
    "memory_length": "Source tokens of each sentence.",
    "memory_keys": "The attention's keys; absent without attention.",
    "log_probs": "Log probability of each next token.",
    "beam_size": "Hypotheses kept at each step, and translations returned.",
    "length_penalty": "Exponent α of the length penalty.",
    "max_length": "Limit in tokens.",
    "prefix": "Beginnings of the translations; empty: none.",
    "required": "Phrases that the translations contain; empty ones are none.",
    "banned": "Phrases that the translations do not contain; empty ones are none.",
    "no_repeat_ngram": "No so many tokens stand twice in a translation; 0: off.",
    "repetition_penalty": "Multiplies the log probability of a token that is there already; 1: off.",
    "token_log_probs": "Log probability of each token; 0 on padding.",
    "meets_constraints": "False: the row is empty, because no translation fills it.",
    "samples": "Translations to draw.",
    "temperature": "Divides the logits: below 1 less random, above 1 more; 0: greedy.",
    "top_k": "Draw from so many most likely tokens; 0: from all.",
    "top_p": "Draw from the fewest tokens with this probability together; 1: from all.",
    "seed": "Equal seeds draw equal translations.",
    "pad": "Id of `<pad>`.",
    "bos": "Id of `<s>`.",
    "eos": "Id of `</s>`.",
    "unk": "Id of `<unk>`.",
    "vocab_size": "Ids of the target vocabulary.",
    "source_language": "Language of the source, ISO 639-1 (`en`); empty: unknown.",
    "max_length_factor": "See [Search](../concepts/search.md#lengths).",
    "min_length": "Least number of target tokens, `</s>` included.",
    "coverage_penalty": "Weight β of the coverage penalty.",
    **{
        f"limit_{name}": f"See [Search](../concepts/search.md#limits-of-a-request): `{name}`."
        for name in ServingLimits.__struct_fields__
    },
}
ONLY_MEANINGS = {
    ("encode_tokens", "tokens"): "Source tokens; what follows a sentence is ignored.",
    ("translate_sample", "score"): "The same as `log_prob`: samples are not ranked.",
    ("translate_constrained", "max_length_factor"): "Limits the length by that of the source; 0: off. See"
    " [Search](../concepts/search.md#lengths).",
}
"""Meanings of tensors that mean something else in one signature."""
STATE = "State of the decoder: pass it to the next step under the same name."


def describe(folder: Path) -> dict[str, Any]:
    """The signatures of a model exported to a folder."""
    import tensorflow as tf

    from tests.components.small_export import Export

    export = Export(folder)
    described = {}
    for name, function in export.loaded.signatures.items():
        graph = export.translator.signatures()[name][0]
        several = name in ("translate_nbest", "translate_sample", "translate_constrained")
        inputs = function.structured_input_signature[1]
        described[name] = {
            "summary": (inspect.getdoc(graph) or "").split("\n\n")[0].replace("\n", " "),
            "inputs": [_tensor(name, n, spec, False) for n, spec in sorted(inputs.items())],
            "outputs": [
                _tensor(name, n, spec, several) for n, spec in sorted(function.structured_outputs.items())
            ],
        }
    tf.io.gfile.rmtree(str(export.path))
    order = [*export.translator.signatures()]
    return {name: described[name] for name in sorted(described, key=order.index)}


def _tensor(signature: str, name: str, spec: Any, several: bool) -> dict[str, str]:
    """Name, type and meaning of a tensor.

    Raises:
      ValueError: its rank is not the one that is documented.
    """
    axes = ONLY.get((signature, name)) or (SEVERAL.get(name) if several else None)
    rank = spec.shape.rank
    known = name in MEANINGS
    if axes is None:
        axes = AXES.get(name, ()) if known else ("B", *("U" for _ in range(rank - 1)))
    if rank is not None and len(axes) != rank:
        raise ValueError(f"{signature}: {name} has the shape {spec.shape}, documented as {axes}")
    shape = f"[{', '.join(axes)}]" if axes else ""
    meaning = ONLY_MEANINGS.get((signature, name)) or MEANINGS.get(name, STATE)
    return {"name": name, "type": f"{spec.dtype.name}{shape}", "meaning": meaning}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(describe(Path(folder)), indent=2))
