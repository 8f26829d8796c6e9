"""A folder of `bitext export --format tfjs` in Chromium: `make test-tfjs`."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bitext.components.seq2seq.export.saved_model import Translator
from tests.components.test_quantize import make
from tests.components.tfjs_folder import greedy_tokens, source_tokens, write_folder

PAGE = """\
<!doctype html>
<script src="tf.min.js"></script>
<script type="module">
  import { Translator } from "./tfjs/translator.mjs";

  window.translate = async (sentences, backend) => {
    await tf.setBackend(backend);
    await tf.ready();
    const translator = await Translator.fromUrl(tf, "tfjs/");
    const before = tf.memory().numTensors;
    const translations = await translator.greedy(sentences);
    return { translations, backend: tf.getBackend(), leaked: tf.memory().numTensors - before };
  };
</script>
"""


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return make(tmp_path_factory.mktemp("text"), encoder_layers=2, attention="additive")


@pytest.fixture(scope="module")
def site(translator: Translator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a page that has TensorFlow.js and the folder beside it."""
    folder = tmp_path_factory.mktemp("site")
    write_folder(translator, folder / "tfjs")
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    script = Path("@tensorflow", "tfjs", "dist", "tf.min.js")
    [package, *_] = [p for p in os.environ["NODE_PATH"].split(os.pathsep) if Path(p, script).is_file()]
    (folder / "tf.min.js").symlink_to(Path(package, script))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.runtime
@pytest.mark.parametrize("backend", ["cpu", "webgl"])
def test_a_page_finds_what_the_model_does(
    chromium: Browser, translator: Translator, site: str, backend: str
) -> None:
    page = chromium.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(site)
    page.wait_for_function("window.translate !== undefined")
    sentences = source_tokens(translator)
    found = page.evaluate("([sentences, backend]) => translate(sentences, backend)", [sentences * 2, backend])
    assert (found["backend"], found["leaked"], problems) == (backend, 0, [])
    assert found["translations"] == greedy_tokens(translator) * 2
    page.close()
