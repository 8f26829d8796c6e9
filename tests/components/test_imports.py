"""Start-up without garbage collections and without optional packages."""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys

import pytest

from bitext.components.shared.imports import gc_disabled, packages_hidden


def test_collector_is_enabled_again_even_after_an_exception():
    assert gc.isenabled()
    with gc_disabled():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), gc_disabled():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_collector_that_was_disabled_stays_disabled():
    gc.disable()
    try:
        with gc_disabled():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_packages_are_hidden_only_inside_the_context(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with packages_hidden("wave", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("wave")
        assert importlib.import_module("json") is json
    assert importlib.import_module("wave").__name__ == "wave"


@pytest.mark.parametrize("legacy", ["0", "1"])
def test_tensorflow_imports_without_keras_and_loads_it_later(legacy):
    """Importing TFT sets `TF_USE_LEGACY_KERAS`, which makes TensorFlow use tf_keras as Keras."""
    code = """
from bitext.components.shared.imports import gc_disabled, packages_hidden
import sys
with gc_disabled(), packages_hidden("keras", "tf_keras", "googleapiclient"):
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
