"""The `README.md` of an exported folder: how a client without code of this project runs the graphs."""

from __future__ import annotations

from pathlib import Path

from bitext.components.artifacts import Model, TextFile, TransformGraph
from bitext.components.exporter.token_formats import TokenFormat
from bitext.components.seq2seq import LENGTH_SLACK
from bitext.components.seq2seq.export.token_graphs import Description

_SEARCH = """\
# A translation model for {label}

| file | content |
|---|---|
| {graphs} | the graphs |
| `signatures.json` | all inputs and outputs; which output is the next value of which input; the search |
| `{vocabulary_file}` | the tokens of both sides: a token's position in its list is its id |
| `{text_file}`, `merges-*.txt`, `vocabulary-*.txt` | how text becomes tokens |
| `export.json` | the comparison with the SavedModel, and the digest of the model |

## Greedy search

1. Convert the text to token ids. A text without tokens has an empty translation: do not call the model.
   Keep at most {most} ids and append {eos} (`</s>`).
2. Call `encode_tokens` with `tokens` int32[B, S] and `length` int32[B], the number of ids of each
   sentence. What follows the ids of a sentence is ignored: pad with {pad}.
3. Call `decode_step` with `token` int32[B], at first {bos} (`<s>`), and the outputs of `encode_tokens`
   that `signatures.json` lists under `memory` and `state`.
4. Set the entries {pad} and {bos} of `log_probs` to -infinity, and entry {eos} too while a translation
   has fewer tokens than {min_length} - 1. The largest entry is the next token.
5. `state` maps each state input to the output that is its next value. Repeat from step 3 with the new
   token, the new state and the same memory, until the token is {eos} or the translation has
   {max_length} tokens{factor}.

A beam search repeats the rows of memory and state for each hypothesis. The graphs do not check their
inputs: ids must be in the vocabulary, and each length from 1 to S.

## Text

All texts are UTF-8.

* Normalize: NFC, one space for white space, none at the ends{folded}{lowered};
   invisible characters are removed, and some presentation forms become ordinary letters. The page "The
   text path" of bitext's documentation has every rule.
"""
_LEARNED = """\
* Split into pretokens, after each space has become U+2581 and one more was put in front. A pretoken is
   one of: letters and marks (with `'` between letters); digits (category N); other characters; each
   with the U+2581 before it. After 32 characters and the marks that follow (at most 8), a pretoken is
   cut.
"""
_OWN = """\
* The vocabulary is a file that bitext did not learn. `segmentation` in `{text_file}` says how its text
   is split and how its symbols merge (class `Segmentation` of bitext). The ids are those of
   `{vocabulary_file}`, not those of the file.
"""
_WHOLE = """\
   The texts `whole_tokens`, `whole_token_pattern` and `symbols` in `{text_file}` are pretokens that are
   not split.
"""
_SPELLED = """\
* The symbols of a pretoken are its characters; a character that is not in the vocabulary becomes the
   ids of its UTF-8 bytes, 4 + byte. Each line of the merges file is KEY, a tab and VALUE: two neighbors
   with the ids `left` and `right` merge if there is a line with KEY = left * 2^32 + right, to the id
   VALUE mod 2^32. Of all pairs of a pretoken, the leftmost one with the smallest VALUE merges first,
   until none can.
"""
_JOINED = """\
* From ids to text: join the tokens, ids 4 to 259 as bytes; U+2581 becomes a space; normalize.
"""
_WORDS = """\
* The id of a pretoken is its position in the vocabulary, or {unk} (`<unk>`) if it is not there.
* From ids to text: join the tokens; U+2581 becomes a space; normalize. The SavedModel replaces `<unk>`
   by the source word that it is aligned to, if it was trained with `replace_unknown`; `alignment` of
   `decode_step` shows which.
"""
_IN_JAVASCRIPT = """\

## In JavaScript

`translator.mjs` does steps 2 to 5, in a browser (`Translator.fromUrl`) and in Node.js; `greedy.mjs` is a
program for Node.js, and `node.mjs` reads the files for it. They need the package @tensorflow/tfjs:

    echo '[[TOKEN, ..., {eos}], ...]' | node greedy.mjs

The weights of a graph are in the `.bin` file beside it. The backend `wasm` (`--backend wasm`, package
@tensorflow/tfjs-backend-wasm) is several times as fast as `cpu`.
"""


def render(form: TokenFormat, about: Description, text: TextFile) -> str:
    """Returns the content of the file.

    Args:
      form: the format.
      about: the description of the graphs.
      text: how text becomes tokens.
    """
    search, settings, sides = about.search, text.settings, (text.source, text.target)
    parts = [_SEARCH]
    if is_learned := all(side.segmentation.split == "pretokens" for side in sides):
        parts.append(_LEARNED)
    else:
        parts.append(_OWN)
    if settings.keeps_whole or any(side.segmentation.symbols for side in sides):
        parts.append(_WHOLE)
    if settings.unit == "word":
        parts.append(_WORDS)
    else:
        parts += [_SPELLED, _JOINED] if is_learned else [_JOINED]
    if form.uses_node:
        parts.append(_IN_JAVASCRIPT)
    factor = search.max_length_factor
    values = {
        "label": form.label,
        "graphs": ", ".join(f"`{graph.file}`" for graph in about.graphs.values()),
        "text_file": TransformGraph.FILES[0],
        "vocabulary_file": Model(Path()).vocabulary_file.name,
        "most": f"{about.source_max_length - 1:,}",
        "min_length": search.min_length,
        "max_length": f"{search.max_length:,}",
        "factor": f", or {factor} * length + {LENGTH_SLACK} if that is less" if factor else "",
        "folded": ",\n   typographic quotation marks and apostrophes as `\"` and `'`"
        if settings.fold_quotes
        else "",
        "lowered": ", lower case" if settings.lowercase else "",
    }
    return "".join(parts).format(**values, **about.special_tokens)
