"""What to do about rejected rows: the remedy names the limit that the rows passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitext.components.example_gen.cleaning import KEYS

DOMINANT_SHARE = 0.2
"""Reasons with at least this share of the rejected rows are in the remedy."""
_LAYOUT = "correct the file; or correct {keys} if they do not fit it"
_REMEDIES = {
    "row_too_long": "divide the lines that are too long, or leave the file out if it is no text of sentences",
    "bad_message": "correct these messages (msgfmt -c checks a PO file)",
    "bad_json": "correct these lines: each must be one JSON value; or correct example_gen.format",
    "not_text": "correct {keys}: they must name fields of text",
    "bad_quoting": "correct the quotation marks in the file, or correct {keys} if they do not fit it",
    "carriage_return": "remove the carriage returns within rows, or correct {keys} if they do not fit"
    " the file",
    "missing_column": _LAYOUT,
    "invalid_utf8": "set example_gen.encoding, or convert the file to UTF-8"
    " (iconv -f ENCODING -t UTF-8 FILE)",
    "invalid_encoding": "correct the rows, or correct example_gen.encoding",
    "control_characters": "remove the control characters from the file; or correct example_gen.format, if the"
    " file is no text of this format",
    "empty_side": "fill or remove the rows with an empty side, or correct {keys} if they do not fit the file",
    "too_long": "split the long rows into sentences, or raise example_gen.max_characters",
    "length_ratio": "correct the rows whose sides do not correspond (if they are many, the sides may be out"
    " of step: compare them at the first of these rows), or raise example_gen.max_length_ratio",
}
"""Remedies by reason. `{keys}` are the keys that say how a row is written."""


def _remedy(reason: str) -> str:
    if key := KEYS.get(reason):
        return f"correct or remove the rows ({reason}), or change example_gen.cleaning.{key}"
    return _REMEDIES.get(reason, _LAYOUT)


def remedy_for(
    reasons: Mapping[str, int], keys_of_layout: Sequence[str], limit: str = "max_reject_share"
) -> str:
    """The remedy for too many rejected rows: those of the reasons with most rows, most rows first.

    Args:
      reasons: rejected rows by reason.
      keys_of_layout: keys of `example_gen` that say how a row is written, for the format that is read.
      limit: the key of `example_gen` whose limit the rejected rows are over.
    """
    rejected = sum(reasons.values())
    dominant = sorted(
        (name for name, rows in reasons.items() if rows >= DOMINANT_SHARE * rejected),
        key=lambda name: -reasons[name],
    )
    keys = ", ".join(f"example_gen.{key}" for key in keys_of_layout)
    remedies = list(dict.fromkeys(_remedy(name).format(keys=keys) for name in dominant))
    return "; ".join([*remedies, f"or raise example_gen.{limit}"])
