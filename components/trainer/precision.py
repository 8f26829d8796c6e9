"""The type of the matrix products in training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import tensorflow as tf

from bitext.components.shared.corpus_size import AUTO
from bitext.components.shared.cpu import instruction_sets
from bitext.components.trainer import Parameters

BFLOAT16_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags of processors that multiply matrices of bfloat16 faster than those of float32."""
CPU_FILE = Path("/proc/cpuinfo")


def with_precision(parameters: Parameters, cpu_file: Path = CPU_FILE) -> Parameters:
    """Returns the parameters with a type for `precision: auto`.

    Args:
      parameters: the configured parameters.
      cpu_file: the file of Linux that describes the processor. If there is none, the type is float32.
    """
    if parameters.precision != AUTO:
        return parameters
    on_cpu = not tf.config.list_physical_devices("GPU")
    fast = on_cpu and BFLOAT16_INSTRUCTIONS & _instruction_sets(cpu_file)
    return msgspec.structs.replace(parameters, precision="bfloat16" if fast else "float32")


def _instruction_sets(cpu_file: Path) -> set[str]:
    try:
        return instruction_sets(cpu_file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return set()


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Context manager: allows TensorFlow to compute matrix products in bfloat16 if `name` is `bfloat16`."""
    option = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    tf.config.optimizer.set_experimental_options({option: name == "bfloat16"})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
