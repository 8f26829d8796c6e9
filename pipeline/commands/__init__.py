"""The commands of `bitext`, one module each.

Every module offers `add_to(commands)`, which adds the command to the parser, and `run(options)`, which does
the work and returns the exit code. Heavy libraries are imported inside `run`.
"""
