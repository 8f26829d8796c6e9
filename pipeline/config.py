"""The configuration: frozen structs read from YAML, every value checked once, unknown keys refused by name.

Each component section is that component's own `Parameters`; what a field means is documented there. A section
`variables` names values of its own, and `${name}` in any other value stands for one of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from bitext.components.component import Parameters
from bitext.components.evaluator import Parameters as EvaluatorParameters
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.example_validator import Parameters as ExampleValidatorParameters
from bitext.components.infra_validator import Parameters as InfraValidatorParameters
from bitext.components.pusher import Parameters as PusherParameters
from bitext.components.schema_gen import Parameters as SchemaGenParameters
from bitext.components.shared.errors import ConfigError
from bitext.components.statistics_gen import Parameters as StatisticsGenParameters
from bitext.components.statistics_gen import RequestParameters
from bitext.components.trainer import Parameters as TrainerParameters
from bitext.components.transform import Parameters as TransformParameters

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class SqlServer(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A MySQL or PostgreSQL server that holds the metadata.

    Attributes:
      host: its host name.
      port: its TCP port.
      database: the database; made if the user may.
      user: who logs in.
      password_env: the environment variable that holds the password. Empty: no password.
    """

    host: str
    port: Port
    database: str
    user: str
    password_env: str = ""


class Metadata(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where what ran is remembered: one of three.

    Attributes:
      sqlite: a file. Empty, and no server given: `<root>/metadata.sqlite`.
      mysql: a MySQL server.
      postgresql: a PostgreSQL server.
    """

    sqlite: str = ""
    mysql: SqlServer | None = None
    postgresql: SqlServer | None = None

    def __post_init__(self) -> None:
        if sum([bool(self.sqlite), self.mysql is not None, self.postgresql is not None]) > 1:
            raise ValueError("give one of sqlite, mysql and postgresql")


class Beam(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the Beam pipelines run.

    Attributes:
      runner: a Beam runner's name. `DirectRunner` is this process, and needs nothing else.
      options: further Beam flags, `--name=value` each.
    """

    runner: str = "DirectRunner"
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option in self.options:
            if not option.startswith("--"):
                raise ValueError(f"a Beam option starts with --, and {option!r} does not")
            if option.split("=")[0] == "--runner":
                raise ValueError("name the runner in beam.runner, not in beam.options")
            if option.split("=")[0] == "--direct_running_mode":
                raise ValueError("DirectRunner always runs in this process: leave --direct_running_mode out")
        if self.runner.lower() in ("direct", "directrunner"):  # as Beam reads it
            msgspec.structs.force_setattr(self, "runner", "DirectRunner")


class Metrics(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of the last run to those who watch many machines.

    Attributes:
      textfile: the file that a run's metrics replace when it ends (pipeline/openmetrics.py), in a folder that
        node_exporter's textfile collector reads. Each pipeline needs its own. Empty: none.
    """

    textfile: str = ""

    def __post_init__(self) -> None:
        if "://" in self.textfile:
            raise ValueError(f"textfile must be a file of this machine; received {self.textfile!r}")
        if self.textfile and not self.textfile.endswith(".prom"):
            raise ValueError(
                f"textfile must end in .prom: the collector reads no other; received {self.textfile!r}"
            )


class PipelineConfig(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pipeline.

    Attributes:
      name: the pipeline's name: letters, digits, `_`, `.`, `-`.
      root: where artifacts, logs and (by default) metadata go. Empty: `runs/<name>`. Relative paths are
        relative to the folder the command is called in, here and everywhere.
      serving: the folder pushed models go to, as `<serving>/<version>/`. Empty: `serving/<name>`.
      metadata, beam: where runs are remembered; where Beam runs.
      metrics: where the last run's figures go.
      example_gen ... pusher: the parameters of each component.
      request_log: what the served model was asked, to compare the training data with; without files, nothing.
    """

    name: Name
    example_gen: ExampleGenParameters
    root: str = ""
    serving: str = ""
    metadata: Metadata = Metadata()
    beam: Beam = Beam()
    metrics: Metrics = Metrics()
    statistics_gen: StatisticsGenParameters = msgspec.field(default_factory=StatisticsGenParameters)
    schema_gen: SchemaGenParameters = msgspec.field(default_factory=SchemaGenParameters)
    example_validator: ExampleValidatorParameters = msgspec.field(default_factory=ExampleValidatorParameters)
    transform: TransformParameters = msgspec.field(default_factory=TransformParameters)
    trainer: TrainerParameters = msgspec.field(default_factory=TrainerParameters)
    evaluator: EvaluatorParameters = msgspec.field(default_factory=EvaluatorParameters)
    request_log: RequestParameters = msgspec.field(default_factory=RequestParameters)
    infra_validator: InfraValidatorParameters = msgspec.field(default_factory=InfraValidatorParameters)
    pusher: PusherParameters = msgspec.field(default_factory=PusherParameters)

    def __post_init__(self) -> None:
        for name in ("root", "serving"):
            if "://" in getattr(self, name):
                raise ValueError(f"{name} must be a folder of this machine; received {getattr(self, name)!r}")
        fill = msgspec.structs.force_setattr
        if not self.root:
            fill(self, "root", f"runs/{self.name}")
        if not self.serving:
            fill(self, "serving", f"serving/{self.name}")
        if self.example_gen.span is not None:
            raise ValueError("example_gen.span is filled in for each span: give patterns and a window")
        if self.pusher.destination not in ("", self.serving):
            raise ValueError(
                f"pusher.destination {self.pusher.destination!r} is not serving {self.serving!r}: the two are"
                " one folder; give serving alone"
            )
        fill(self, "pusher", msgspec.structs.replace(self.pusher, destination=self.serving))
        trainer, evaluator = self.trainer, self.evaluator
        if evaluator.min_golden_bleu and not self.example_gen.golden.patterns():
            raise ValueError("evaluator.min_golden_bleu is given, and example_gen.golden names no file")
        tokenize, lowercase = trainer.validation_tokenize, trainer.validation_lowercase
        references = trainer.validation_references
        trainer = msgspec.structs.replace(
            trainer,
            validation_tokenize=evaluator.tokenize if tokenize is None else tokenize,
            validation_lowercase=evaluator.lowercase if lowercase is None else lowercase,
            validation_references=evaluator.references if references is None else references,
        )
        fill(self, "trainer", trainer)
        # `<s>` is not searched for.
        longest = self.transform.target_max_length - 1
        if trainer.search.max_length < longest:
            raise ValueError(
                "trainer.search.max_length must be at least transform.target_max_length - 1, or targets are"
                f" learnt that no search can say. Received: {trainer.search.max_length}, below {longest}"
            )


def load(path: Path | str, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Reads a configuration file and applies `a.b=c` overrides, whose values are read as YAML.

    Raises:
      ConfigError: naming the file, the line and the field, what was received and what to do.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file", f"Name an existing configuration.{_nearby(path)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", "Give a readable UTF-8 file.") from None
    values, lines = _parse(text, path)
    written = set(_VARIABLE.findall(str({k: v for k, v in values.items() if k != "variables"})))
    places = {field: f"{path}:{line}" for field, line in lines.items()}
    for override in overrides:
        field = _override(values, override, path)
        for inside in [f for f in places if f.startswith(f"{field}.")]:
            del places[inside]
        places[field] = f"--set {override}"
    # A variable whose only use was overridden is no mistake of anyone's.
    spared = {name for name in written if not places.get(f"variables.{name}", "").startswith("--set")}
    return _check(_substituted(values, places, path, spared), places, path)


def dump(config: PipelineConfig) -> str:
    """The configuration as YAML, every default filled in; `load` reads it back to an equal value."""
    return yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False, allow_unicode=True, width=100)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also reads `1e-3` as the number it is, and refuses a key given twice.

    What it cannot construct is told with its place.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a section or a list cannot be a key; text that begins with { or [ needs quotes",
                    problem_mark=key_node.start_mark,
                )
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key_node.value!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError) as error:  # 2024-13-45, !!bool maybe, !!timestamp x
            raise yaml.MarkedYAMLError(
                problem=f"{node.value!r} cannot be read ({error}); in quotes it is text",
                problem_mark=node.start_mark,
            ) from error


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The values of a YAML text, and the 1-based line of every dotted key."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: {error.problem or error.context}", "Correct the YAML there.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}", "Correct the YAML.") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: a configuration is a mapping of keys to values; received {_kind(values)}",
            "Start from a file in pipeline/configs.",
        )
    return values, dict(_lines(node, ""))


def _lines(node: yaml.Node | None, prefix: str) -> Iterable[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield prefix + str(key.value), key.start_mark.line + 1
            yield from _lines(value, f"{prefix}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{prefix}{index}", value.start_mark.line + 1
            yield from _lines(value, f"{prefix}{index}.")


def _override(values: dict[str, Any], override: str, path: Path) -> str:
    """Sets `a.b=c` in `values`, and returns `a.b`."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {override}: not of the form a.b=value", "For example: --set trainer.batch_size=64"
        )
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML: {error}", "Quote the value.") from None
    at = values
    for index, key in enumerate(keys[:-1]):
        inner = at.get(key)
        if inner is None:
            inner = at[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(
                f"--set {override}: {'.'.join(keys[: index + 1])} is {_kind(inner)} in {path}, not a section",
                "See `bitext config` for the sections and keys.",
            )
        at = inner
    at[keys[-1]] = value
    return ".".join(keys)


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _substituted(
    values: dict[str, Any], places: dict[str, str], path: Path, spared: set[str]
) -> dict[str, Any]:
    """The values with every `${name}` replaced, and without the section `variables`.

    A value that is `${name}` and nothing else takes the variable's type too.

    Raises:
      ConfigError: a variable is used that is not given, or given, not used and not `spared`.
    """
    variables = values.get("variables") or {}
    if not isinstance(variables, dict) or any(isinstance(v, dict | list) for v in variables.values()):
        raise ConfigError(
            f"{_where('variables', places, path)}: variables must be a section of names and plain values",
            "For example: variables: {data: data/multi30k}",
        )
    used = set()

    def value_of(name: str, field: str) -> Any:
        if name not in variables:
            raise ConfigError(
                f"{_where(field, places, path)}: {field}: there is no variable {name}",
                f"Give it under variables, or with --set variables.{name}=...",
            )
        used.add(name)
        return variables[name]

    def spelt(name: str, field: str) -> str:
        value = value_of(name, field)
        if isinstance(value, bool):
            raise ConfigError(
                f"{_where(f'variables.{name}', places, path)}: "
                f"YAML reads the variable {name} as {_kind(value)}",
                "Put it in quotes to have it as it is written.",
            )
        return "" if value is None else str(value)

    def fill(value: Any, field: str) -> Any:
        if isinstance(value, dict):
            return {key: fill(inner, f"{field}.{key}".lstrip(".")) for key, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner, f"{field}.{index}") for index, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        if whole := _VARIABLE.fullmatch(value):
            return value_of(whole[1], field)
        return _VARIABLE.sub(lambda match: spelt(match[1], field), value)

    filled = {key: fill(value, key) for key, value in values.items() if key != "variables"}
    for name in variables:
        if name not in used | spared:
            raise ConfigError(
                f"{_where(f'variables.{name}', places, path)}: no value uses the variable {name}",
                f"Write ${{{name}}} where it is meant, or take it out.",
            )
    return filled


def _check(values: dict[str, Any], places: dict[str, str], path: Path) -> PipelineConfig:
    """Builds the typed configuration, or says in words what stands in the way."""
    for section in [key for key, value in values.items() if value is None]:
        del values[section]  # an empty section: `trainer:` with only comments below it
    _refuse_unknown(values, PipelineConfig, "", places, path)
    try:
        return msgspec.convert(values, PipelineConfig)
    except msgspec.ValidationError as error:
        message, _, pointer = str(error).partition(" - at `")
        field = re.sub(r"\[(\d+)\]", r".\1", pointer.rstrip("`")).removeprefix("$").removeprefix(".")
        if missing := re.match(r"Object missing required field `(\w+)`", message):
            field = f"{field}.{missing[1]}".lstrip(".")
            raise ConfigError(
                f"{path}: {field} is missing", f"Add {field} to the file, or --set {field}=..."
            ) from None
        words = _in_words(message, _received(values, field), field)
        where = _named(field, words, places) or _where(field, places, path)
        raise ConfigError(
            f"{where}: {field}{': ' if field else ''}{words}",
            "Correct it there or with --set; `bitext config CONFIG` prints every key and default.",
        ) from None


def _refuse_unknown(value: Any, kind: Any, prefix: str, places: dict[str, str], path: Path) -> None:
    """Raises ConfigError at the first key that the struct `kind`, or one inside it, does not have."""
    struct = _struct_of(kind)
    if struct is None or not isinstance(value, dict):
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, inner in value.items():
        if key in fields:
            _refuse_unknown(inner, fields[key], f"{prefix}{key}.", places, path)
            continue
        close = difflib.get_close_matches(str(key), fields, n=1)
        known = f"Did you mean {prefix}{close[0]}?" if close else f"Known keys: {', '.join(fields)}."
        raise ConfigError(f"{_where(f'{prefix}{key}', places, path)}: unknown key {prefix}{key}", known)


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The struct among the alternatives of a field's type, if there is one."""
    for alternative in (kind, *getattr(kind, "__args__", ())):
        if isinstance(alternative, type) and issubclass(alternative, msgspec.Struct):
            return alternative
    return None


def _received(values: Any, field: str) -> Any:
    """The value at a dotted field."""
    for key in field.split(".") if field else []:
        if isinstance(values, dict):
            values = values.get(key)
        elif isinstance(values, list) and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
    return values


_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a section of keys and values",
    "null": "nothing",
}


def _choices(field: str) -> list[str]:
    """What a field of literal choices may be."""
    kind: Any = PipelineConfig
    for key in field.split("."):
        if key.isdecimal():  # of a list
            kind = kind.__args__[0]
            continue
        struct = _struct_of(kind)
        types = {f.name: f.type for f in msgspec.structs.fields(struct)} if struct else {}
        kind = types.get(key)
    return [str(value) for value in getattr(kind, "__args__", ())]


def _in_words(message: str, received: Any, field: str) -> str:
    """The message of msgspec without the names of programming-language types."""
    if match := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", message):
        expected = " or ".join(_TYPE_WORDS.get(t.strip(), t.strip()) for t in match[1].split("|"))
        return f"must be {expected}; received {_kind(received)}"
    if match := re.fullmatch(r"Expected `([^`]+)` (.+)", message):
        return f"must be {_TYPE_WORDS.get(match[1], match[1])} {match[2]}; received {_kind(received)}"
    if message.startswith("Invalid enum value"):
        choices = " or ".join(_choices(field))
        return f"must be {choices}; received {_kind(received)}"
    if match := re.fullmatch(r"Object contains unknown field `([^`]+)`", message):
        return f"has no key {match[1]}"
    return message


def _kind(value: Any) -> str:
    """A value and what it is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a section of keys and values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the text {value!r}" if isinstance(value, str) else f"the number {value}"


def _where(field: str, places: dict[str, str], path: Path) -> str:
    """Where a field, or the nearest section around it, was given: `file:line` or `--set ...`."""
    while field and field not in places:
        field = field.rpartition(".")[0]
    return places.get(field, str(path))


def _named(section: str, words: str, places: dict[str, str]) -> str:
    """Where those keys of a section were given that a complaint about the whole of it names."""
    prefix = f"{section}." if section else ""
    found = [
        place
        for key, place in places.items()
        if key.startswith(prefix)
        and re.search(rf"(?<![\w.]){re.escape(key.removeprefix(prefix))}(?!\w|\.\w)", words)
    ]
    return ", ".join(dict.fromkeys(found))


def _nearby(path: Path) -> str:
    """A hint naming configurations that do exist."""
    folders = {path.parent, Path(__file__).parent / "configs"}
    names = {p.name: p for folder in folders for p in folder.glob("*.yaml")}
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f" Did you mean {names[close[0]]}?" if close else ""
