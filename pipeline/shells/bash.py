"""The completion script of bash."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from bitext.pipeline.shells.commands import Command, Value, config_keys

_HEAD = """\
# Completion of bitext in bash. To use it: source <(bitext completion bash)
_bitext() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=bitext i
    COMPREPLY=()
    # bash divides --option=value at the equals sign.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]] && ((COMP_CWORD > 2)); then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$command ${COMP_WORDS[i]}" in
"""
_FUNCTIONS = """\
_bitext_words() {
    mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
}
_bitext_paths() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "${@:2}" -- "$1")
}
_bitext_config() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(
        compgen -d -- "$1"
        compgen -f -X '!*.yaml' -- "$1"
        compgen -f -X '!*.yml' -- "$1"
    )
}
complete -F _bitext bitext
"""


def script(commands: list[Command]) -> str:
    """Returns the script."""
    paths = [command.path for command in commands[1:]]
    lines = [f'            {"|".join(map(shlex.quote, paths))}) command+=" ${{COMP_WORDS[i]}}" ;;']
    lines += ["        esac", "    done", '    case "$command $previous" in']
    for command in commands:
        lines += _options(command)
    lines += ["    esac", "    if [[ $current == -* ]]; then", '        case "$command" in']
    for command in commands:
        flags = " ".join(flag for option in command.options for flag in option.flags)
        call = f'_bitext_words "$current" {shlex.quote(flags)}'
        lines.append(f"            {shlex.quote(command.path)}) {call} ;;")
    lines += ["        esac", "        return", "    fi", '    case "$command" in']
    for command in commands:
        if action := _position(command):
            lines.append(f"        {shlex.quote(command.path)}) {action} ;;")
    settings = " ".join(f"{key}=" for key in config_keys())
    end = ["    esac", "}", f"_bitext_settings={shlex.quote(settings)}", _FUNCTIONS]
    return "\n".join([_HEAD.rstrip("\n"), *lines, *end])


def _options(command: Command) -> Iterator[str]:
    """The cases of what follows the options of a command."""
    for option in command.options:
        if option.value is not None:
            pattern = "|".join(shlex.quote(f"{command.path} {flag}") for flag in option.flags)
            yield f"        {pattern}) {_action(option.value)}; return ;;"


def _position(command: Command) -> str:
    """What completes the arguments of a command; bash does not tell which argument it is."""
    if command.subcommands:
        return f'_bitext_words "$current" {shlex.quote(" ".join(command.subcommands))}'
    kinds = [value for value in command.positions if value.kind != "nothing"]
    files = [value for value in kinds if value.kind in ("file", "folder")]
    return _action((files or kinds)[0]) if kinds else ""


def _action(value: Value) -> str:
    """The call that completes a value."""
    words = shlex.quote(" ".join(value.words))
    return {
        "nothing": ":",
        "words": f'_bitext_words "$current" {words}',
        "keys": f'_bitext_words "$current" {words}',
        "setting": 'compopt -o nospace 2>/dev/null; _bitext_words "$current" "$_bitext_settings"',
        "file": '_bitext_paths "$current" -f',
        "folder": '_bitext_paths "$current" -d',
        "config": '_bitext_config "$current"',
    }[value.kind]
