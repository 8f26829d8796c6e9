"""The completion script of zsh."""

from __future__ import annotations

from bitext.pipeline.shells.commands import Command, Option, Value, config_keys

_HEAD = """\
#compdef bitext
# Completion of bitext in zsh. To use it: source <(bitext completion zsh), after compinit
"""
_SETTINGS = """\
_bitext_settings() {
    local -a settings=(
        %s
    )
    compadd -S '' -a settings
}
"""
_END = """\
if [[ $funcstack[1] == _bitext ]]; then
    _bitext "$@"
else
    compdef _bitext bitext
fi
"""


def script(commands: list[Command]) -> str:
    """Returns the script: a function for each command."""
    settings = "\n        ".join(f"{key}=" for key in config_keys())
    return "\n".join([_HEAD, *map(_function, commands), _SETTINGS % settings, _END])


def _function(command: Command) -> str:
    """The function that completes the words after a command."""
    specifications = [spec for option in command.options for spec in _option(option)]
    if not command.subcommands:
        specifications += _positions(command)
        return "\n".join([f"{_name(command.path)}() {{", _arguments("_arguments", specifications), "}", ""])
    named = command.subcommands.items()
    words = " ".join(_quoted(f"{_escaped(name)}:{_escaped(text)}") for name, text in named)
    specifications += ["'1: :->command'", "'*:: :->arguments'"]
    cases = [f"            ({name}) {_name(f'{command.path} {name}')} ;;" for name in command.subcommands]
    return "\n".join(
        [
            f"{_name(command.path)}() {{",
            "    local context state state_descr line",
            "    typeset -A opt_args",
            _arguments("_arguments -C", specifications),
            "    case $state in",
            "        (command)",
            f"            local -a commands=({words})",
            "            _describe command commands ;;",
            "        (arguments)",
            "            case $line[1] in",
            *cases,
            "            esac ;;",
            "    esac",
            "}",
            "",
        ]
    )


def _name(path: str) -> str:
    return "_" + path.replace(" ", "_")


def _arguments(call: str, specifications: list[str]) -> str:
    return " \\\n        ".join([f"    {call}", *specifications])


def _option(option: Option) -> list[str]:
    """The specifications of an option, one for each spelling."""
    action = "" if option.value is None else f":{_escaped(option.value.name)}:{_action(option.value)}"
    # The other spellings of an option are not offered after one of them.
    others = "*" if option.is_repeatable else f"({' '.join(option.flags)})"
    text = _escaped(option.help).replace("[", "\\[").replace("]", "\\]")
    return [
        _quoted(f"{others}{flag}{'=' if action and flag.startswith('--') else ''}[{text}]{action}")
        for flag in option.flags
    ]


def _positions(command: Command) -> list[str]:
    """The specifications of the arguments. The last one may be repeated."""
    specifications = []
    for number, value in enumerate(command.positions, 1):
        is_repeated = number == len(command.positions) and value.kind == "file"
        place = "*" if is_repeated else number
        specifications.append(_quoted(f"{place}:{_escaped(value.name)}:{_action(value)}"))
    return specifications


def _action(value: Value) -> str:
    """What completes a value."""
    words = " ".join(_escaped(word) for word in value.words)
    return {
        "nothing": " ",
        "words": f"({words})",
        "keys": f"({words})",
        "setting": "_bitext_settings",
        "file": "_files",
        "folder": "_files -/",
        "config": '_files -g "*.(yaml|yml)(-.)"',
    }[value.kind]


def _escaped(text: str) -> str:
    """Escapes the characters that separate the parts of a specification."""
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
