"""The completion script of fish."""

from __future__ import annotations

from collections.abc import Iterator

from bitext.pipeline.shells.commands import Command, Option, Value, config_keys

_HEAD = """\
# Completion of bitext in fish. To use it: bitext completion fish | source
function __bitext_command
    set -l command bitext
    for word in (commandline -opc)[2..]
        if contains -- "$command $word" $__bitext_commands
            set command "$command $word"
        end
    end
    test "$command" = "$argv"
end
complete -c bitext -f"""


def script(commands: list[Command]) -> str:
    """Returns the script."""
    paths = " ".join(_quoted(command.path) for command in commands)
    settings = " ".join(f"{key}=" for key in config_keys())
    lines = [f"set -g __bitext_commands {paths}", f"set -g __bitext_settings {settings}", _HEAD]
    for command in commands:
        lines += _lines(command)
    return "\n".join([*lines, ""])


def _lines(command: Command) -> Iterator[str]:
    begin = f"complete -c bitext -n {_quoted(f'__bitext_command {command.path}')}"
    for name, text in command.subcommands.items():
        yield f"{begin} -a {_quoted(name)} -d {_quoted(text)}"
    for option in command.options:
        yield f"{begin} {_option(option)}"
    # fish does not tell which argument it is: each completes as any of them.
    for value in dict.fromkeys(command.positions):
        if value.kind != "nothing":
            yield f"{begin} {_action(value)}"


def _option(option: Option) -> str:
    parts = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    if option.value is not None:
        parts.append("-r" if option.value.kind == "nothing" else f"-r {_action(option.value)}")
    return " ".join([*parts, "-d", _quoted(option.help)])


def _action(value: Value) -> str:
    """What completes a value."""
    words = _quoted(" ".join(value.words))
    return {
        "nothing": "-f",
        "words": f"-f -a {words}",
        "keys": f"-f -a {words}",
        "setting": "-f -a '$__bitext_settings'",
        "file": "-F",
        "folder": "-f -a '(__fish_complete_directories)'",
        "config": "-k -a '(__fish_complete_suffix .yaml; __fish_complete_suffix .yml)'",
    }[value.kind]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
