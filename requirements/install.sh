#!/bin/sh
# Creates .venv with a supported interpreter, the exact lock for it, and this project (editable).
# `make setup` runs it. It does nothing if the environment is up to date.
# PYTHON=/path/to/python chooses the interpreter; the default is the first usable one.
set -eu
cd "$(dirname "$0")/.."

# Prints "311", "312" or "313" if the interpreter can use one of the locks, else nothing.
# The compiled packages for CPython 3.12 and 3.13 need glibc 2.39 (Debian 13, Ubuntu 24.04).
family() {
  "$1" - 2>/dev/null <<'PYTHON' || true
import os, platform, sys
libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else ""
glibc = tuple(int(n) for n in (libc or "glibc 0.0").split()[-1].split(".")[:2])
needed = {(3, 11): (2, 17), (3, 12): (2, 39), (3, 13): (2, 39)}.get(sys.version_info[:2])
if sys.implementation.name == "cpython" and platform.machine() == "x86_64" and needed and glibc >= needed:
    print("%d%d" % sys.version_info[:2])
PYTHON
}

found=
for candidate in ${PYTHON:-python3.11 python3.13 python3.12 python3}; do
  found=$(family "$candidate")
  if [ -n "$found" ]; then python=$candidate; break; fi
done
if [ -z "$found" ]; then
  echo "make setup: no usable Python among: ${PYTHON:-python3.11 python3.13 python3.12 python3}." >&2
  echo "Needed, on x86-64 Linux: CPython 3.11, or CPython 3.12 or 3.13 with glibc 2.39 or newer" >&2
  echo "(Debian 13, Ubuntu 24.04). Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
fi

lock=requirements/py$found.txt
stamp=.venv/installed
wanted=$(cat "$lock" setup.py requirements/install.sh | sha256sum | cut -d' ' -f1)-py$found-$(pwd)
if [ -x .venv/bin/python ] && [ "$(cat $stamp 2>/dev/null || true)" = "$wanted" ]; then exit 0; fi

if [ "$(family .venv/bin/python)" != "$found" ]; then rm -rf .venv; fi
rm -f "$stamp"
echo "make setup: $("$python" --version) and $lock into .venv"
if uv --version >/dev/null 2>&1; then
  [ -x .venv/bin/python ] || uv venv --quiet --python "$("$python" -c 'import sys; print(sys.executable)')" .venv
  uv=uv
else
  if ! { [ -x .venv/bin/pip ] || "$python" -m venv .venv; }; then
    rm -rf .venv
    echo "make setup: $python cannot make a virtual environment." >&2
    echo "On Debian and Ubuntu: apt-get install python3-venv. Or put uv on the PATH." >&2
    exit 1
  fi
  # uv installs the lock three times as fast as pip. The lock contains it.
  .venv/bin/pip install --quiet --disable-pip-version-check "$(grep -o '^uv==[^ ]*' "$lock")"
  uv=.venv/bin/uv
fi

# For CPython 3.12 and 3.13, one package is published as C++ source only.
if [ "$found" != 311 ] && ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then
  echo "make setup: CPython 3.12 and 3.13 need a C++ compiler (to build pyfarmhash)." >&2
  echo "On Debian and Ubuntu: apt-get install g++ python3-dev" >&2
  exit 1
fi
# Compile the bytecode now: where Python cannot write it later, every command would compile Keras again.
"$uv" pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes "$lock"
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
echo "$wanted" > "$stamp"
echo "make setup: done. The command is .venv/bin/bitext"
