"""The style sheet and the scripts of a page, and the content security policy that allows only these."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

from bitext.components.shared.files import atomic_writer

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' "
    "height='16' rx='4' fill='%230b5cad'/%3E%3Cpath d='M3.5 5h9M3.5 8h5M3.5 11h7' stroke='white' "
    "stroke-width='1.6' stroke-linecap='round'/%3E%3C/svg%3E"
)
"""The page's icon. Without one, browsers ask the server for a file."""
_END = "\n// end of the Vega bundle\n"


def asset(name: str) -> Markup:
    """Returns a file of the folder `assets`."""
    return Markup(Path(__file__).with_name("assets").joinpath(name).read_text(encoding="utf-8"))


def vega(folder: Path | None) -> Markup:
    """Returns the JavaScript of Vega, Vega-Lite and vega-embed, which defines `vegaEmbed`.

    Args:
      folder: the folder that keeps it between pages, in a file named after its version; None: none does.
    """
    version = importlib.metadata.version("vl-convert-python")
    path = None if folder is None else folder / f"vega-{version}.js"
    if path is not None and path.is_file():
        text = path.read_text(encoding="utf-8")
        if text.endswith(_END):
            return Markup(text)
    text = _built()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path) as file:
            file.write(text.encode("utf-8"))
    return Markup(text)


def _built() -> str:
    """Returns the bundle as a function, which defines no other global names. It costs 1.5 s."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    bundle = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"(function () {{\n{bundle}\n}})();{_END}"


def policy(scripts: Iterable[str], style: str) -> str:
    """Returns a content security policy that allows these scripts, this style sheet, and images in the page.

    Args:
      scripts: the texts of the elements `script`.
      style: the text of the element `style`.
    """
    hashes = " ".join(f"'{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
