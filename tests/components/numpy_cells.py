"""The equations of the cells in NumPy, on the products of the inputs (wx) and of the hidden state (uh)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def lstm(wx: np.ndarray, uh: np.ndarray, state: tuple, normalize: Callable = lambda c: c) -> tuple:
    i, f, g, o = np.split(wx + uh, 4, axis=-1)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(normalize(c)), c


def gru(wx: np.ndarray, uh: np.ndarray, state: tuple) -> tuple:
    (wz, wr, wh), (uz, ur, uh) = np.split(wx, 3, axis=-1), np.split(uh, 3, axis=-1)
    z = sigmoid(wz + uz)
    return (z * state[0] + (1 - z) * np.tanh(wh + sigmoid(wr + ur) * uh),)


def rnn(wx: np.ndarray, uh: np.ndarray, state: tuple) -> tuple:
    return (np.tanh(wx + uh),)


REFERENCES = {"lstm": lstm, "gru": gru, "rnn": rnn}
