"""The section "Configuration": the command, the configuration of the run, and the versions of libraries."""

from __future__ import annotations

import platform
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import yaml

import bitext
from bitext.components.artifacts.page import Block, Code, Column, Details, Section, Table, Text
from bitext.components.shared.files import atomic_writer
from bitext.pipeline.config import PipelineConfig, yaml_values
from bitext.pipeline.layout import Layout
from bitext.pipeline.reports.run_page.record import RunRecord

HIDDEN = "***"
"""What is shown instead of a secret."""
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
"""User and password in an address."""
_SECRET_OPTION = re.compile(
    r"(?i)([\w.-]*(?:password|passwd|secret|credential|(?:access|auth)[_-]?token|(?:api|private)[_-]?key)"
    r"(?![\w.-]*_env=)[\w.-]*=)(\S+)"
)
_FOLDER, _COMMAND = "# folder: ", "# command: "


def masked(text: str) -> str:
    """Returns a text without user names and passwords in addresses, and without the values of options whose
    names say that they are secret.
    """
    return _SECRET_OPTION.sub(rf"\g<1>{HIDDEN}", _CREDENTIALS.sub(f"{HIDDEN}@", text))


def record_of_run(config: PipelineConfig, command: list[str], layout: Layout, run_id: str) -> None:
    """Writes the configuration of a run, every default filled in, and the command, beside its log.

    Secrets are masked. The file is not part of any cache key.

    Raises:
      OSError: the file cannot be written.
    """
    built: Any = msgspec.to_builtins(config)
    values = yaml.dump(_masked_values(built), Dumper=yaml_values.Dumper, sort_keys=False, allow_unicode=True)
    words = shlex.join(masked(word) for word in command)
    lines = [f"{_FOLDER}{_on_one_line(str(Path.cwd()))}", f"{_COMMAND}{_on_one_line(words)}", values]
    path = layout.config_file(run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        file.write("\n".join(lines).encode("utf-8", "backslashreplace"))


def _on_one_line(text: str) -> str:
    return text.replace("\\\n", "").replace("\n", "\\n")


def _masked_values(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: _masked_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_values(item) for item in value]
    return value


def section(record: RunRecord) -> Section:
    """Returns the section."""
    blocks: list[Block] = []
    path = record.layout.config_file(record.run.run_id)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        text = "The configuration of this run is not on record: an older version made the run, or bitext gc"
        blocks.append(Text(text=f"{text} removed it. The parameters of its nodes are below."))
    else:
        folder = next((line for line in lines if line.startswith(_FOLDER)), "").removeprefix(_FOLDER)
        command = next((line for line in lines if line.startswith(_COMMAND)), "").removeprefix(_COMMAND)
        blocks.append(Code(title="Repeat this run", text=f"cd {shlex.quote(folder)}\n{command}"))
        shown = "\n".join(line for line in lines if not line.startswith((_FOLDER, _COMMAND)))
        code = Code(title="Configuration", text=shown)
        blocks.append(Details(summary="Configuration, with every default", blocks=(code,)))
    parameters, libraries = _of_executions(record)
    blocks.append(Details(summary="Versions of libraries", blocks=(libraries,), open=False))
    if parameters:
        code = Code(title="Parameters of the nodes", text=parameters)
        blocks.append(
            Details(summary="Parameters of the nodes, as they are part of the cache keys", blocks=(code,))
        )
    return Section(id="configuration", title="Configuration", blocks=tuple(blocks))


def _of_executions(record: RunRecord) -> tuple[str, Table]:
    """The parameters of the nodes as YAML, and the versions of the libraries that made their outputs."""
    makers = record.makers()
    parameters: dict[str, Any] = {}
    versions: dict[tuple[str, str], list[str]] = {}
    for name, execution in record.nodes.items():
        made = [makers[a.id] for a in execution.all_outputs() if a.id in makers]
        for maker in [*made, execution][:1]:
            values = maker.key_values()
            parameters[name] = _masked_values(values.get("parameter", {}))
            libraries = {**values.get("library", {}), "Python": values.get("python", {}).get("version", "")}
            for library, version in libraries.items():
                if version:
                    versions.setdefault((library, version), []).append(name)
    rows = [("bitext", bitext.__version__, "this page"), ("Python", platform.python_version(), "this page")]
    rows += [(library, version, ", ".join(names)) for (library, version), names in sorted(versions.items())]
    columns = (Column(title="library"), Column(title="version"), Column(title="used by"))
    text = yaml.dump(parameters, Dumper=yaml_values.Dumper, sort_keys=False, allow_unicode=True)
    return text if parameters else "", Table(title="Versions", columns=columns, rows=tuple(rows))
