"""The export in TensorFlow Java, from Maven Central: `make test-java`, with Maven and a JDK, 11 or later."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
LINES = ["the cat sat", "", "їжак 🦔"]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> str:
    """The class path of the libraries in pom.xml, which Maven downloads if necessary."""
    listing = tmp_path_factory.mktemp("java") / "class-path"
    command = ["mvn", "--batch-mode", "--quiet", "--file", FOLDER / "pom.xml"]
    subprocess.run([*command, "dependency:build-classpath", f"-Dmdep.outputFile={listing}"], check=True)
    return listing.read_text(encoding="utf-8").strip()


@pytest.mark.network
@pytest.mark.slow
def test_translations_equal_those_of_python(export, libraries):
    process = subprocess.run(
        ["java", "-cp", libraries, FOLDER / "Translate.java", export.path],
        input="\n".join(LINES) + "\n",
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert process.returncode == 0, process.stderr
    print(process.stderr.splitlines()[-1])
    texts = export("serving_default", text=LINES)["text"]
    assert process.stdout.splitlines() == [text.decode() for text in texts]
