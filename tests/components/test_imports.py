"""A start without what a process does not need."""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys

import pytest

from bitext.components.shared.imports import unswept, without


def test_garbage_is_looked_for_again_whatever_happened_within():
    assert gc.isenabled()
    with unswept():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), unswept():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_whoever_looks_for_none_is_not_made_to():
    gc.disable()
    try:
        with unswept():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_package_is_away_within_and_back_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with without("wave", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("wave")
        assert importlib.import_module("json") is json
    assert importlib.import_module("wave").__name__ == "wave"


@pytest.mark.parametrize("legacy", ["0", "1"])
def test_tensorflow_does_without_keras_and_has_it_afterwards(legacy):
    """`TF_USE_LEGACY_KERAS`, which importing TFT sets, has TensorFlow take tf_keras for keras."""
    code = """
from bitext.components.shared.imports import unswept, without
import sys
with unswept(), without("keras", "tf_keras", "googleapiclient"):
    import tensorflow as tf
print(sorted({"keras", "tf_keras", "matplotlib", "pandas"} & set(sys.modules)))
print(tf.keras.layers.Dense(2)(tf.ones([3, 4])).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TF_USE_LEGACY_KERAS": legacy},
    )
    assert done.stdout.splitlines() == ["[]", "(3, 2)"]
