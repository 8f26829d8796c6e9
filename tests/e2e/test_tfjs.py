"""`bitext export --format tfjs` after a run, and the client that it writes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from bitext.components.translation.translator import LineTranslator
from tests.e2e.conftest import Finished
from tests.e2e.toy import bitext

MAX_SENTENCES = 200


@pytest.mark.runtime
def test_the_client_translates_as_the_saved_model_does(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "tfjs"
    result = bitext(finished.folder, "export", "toy.yaml", "--format", "tfjs", "--output", str(folder))
    assert (result.code, result.err) == (0, "")
    [same, sentences] = re.findall(
        r"greedy search finds the same tokens in ([\d,]+) of ([\d,]+)", result.out
    )[0]
    assert same == sentences
    report = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert (report["difference"], report["form"]) == (0, "tfjs")
    assert 0 < report["tokens"]["largest_difference"] < 1e-4

    translator = LineTranslator(finished.folder / "serving" / "toy", trusted=True)
    rows = (finished.folder / "toy.tsv").read_text(encoding="utf-8").splitlines()[:MAX_SENTENCES]
    lines = [row.split("\t")[0] for row in rows]
    tokenized = translator.call("tokenize", text=[line.encode() for line in lines])
    sources = [row[:n].tolist() for row, n in zip(tokenized["tokens"], tokenized["length"], strict=True)]
    command = ["node", folder / "greedy.mjs", "--backend", "wasm"]
    client = subprocess.run(command, input=json.dumps(sources), capture_output=True, text=True, check=True)
    assert client.stderr == ""
    found = json.loads(client.stdout)
    width = max(map(len, found))
    padded = [[*tokens, *[0] * (width - len(tokens))] for tokens in found]
    texts = translator.signature("detokenize")(tokens=translator._tf.constant(padded))["text"].numpy()
    options = ("--model", "serving/toy", "--whole-lines", "--beam-size", "1", "--length-penalty", "0")
    expected = bitext(finished.folder, "translate", *options, stdin="\n".join(lines) + "\n")
    assert [text.decode() for text in texts] == expected.out.splitlines()
