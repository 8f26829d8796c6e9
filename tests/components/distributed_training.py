"""Trains a tiny model as one of several workers, or on two devices: `python FILE FOLDER INDEX WORKERS PORT`.

The folder has `transformed/`, the training data, and `variants.json`: changes of `PARAMETERS` by name. The
chief writes the best weights of each variant to `NAME-WORKERS-DEVICES.npz`. One worker has two logical CPUs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from bitext.components.artifacts import TransformedExamples
from bitext.components.component import Context
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.trainer import agreement, distribution, worker
from bitext.components.trainer.data import Batches
from bitext.components.trainer.training import Training
from bitext.components.trainer.validation import ValidationScores
from tests.components.test_trainer import BATCH_TOKENS, PARAMETERS
from tests.components.tiny_model import VOCABULARY, initialize
from tests.structs import changed


def frozen_rows(network: Seq2Seq) -> dict[str, np.ndarray]:
    """Returns the frozen rows of a variant that freezes some: the first five."""
    return {network.source_embedding.path: np.arange(VOCABULARY) < 5}


def main() -> None:
    """Trains all variants."""
    folder, index, workers, port = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    if workers > 1:
        addresses = [f"127.0.0.1:{port + number}" for number in range(workers)]
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    if workers > 1:
        together, devices = distribution.over_workers(workers, index), 1
    else:
        devices = 2
        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
        together = distribution.over_devices(devices)
    tf.config.experimental.enable_op_determinism()
    examples = TransformedExamples(folder / "transformed")
    for name, changes in json.loads((folder / "variants.json").read_text()).items():
        parameters = changed(PARAMETERS, batch_tokens=BATCH_TOKENS, **changes)
        working = folder / f"{name}-{workers}-{index}"
        working.mkdir()
        context = Context(working, working, lambda: sys.exit("no Beam"), lambda _: None)
        if index:
            worker.train(parameters, context, examples, together)
            continue
        network = initialize(parameters.model, VOCABULARY, VOCABULARY, seed=parameters.seed)
        batches = Batches.open(examples, parameters.batch_tokens, parameters.seed, workers)
        agreement.compare(together, parameters, examples)
        trained = agreement.network_of_chief(together, parameters, network)
        own = frozen_rows(trained) if parameters.embeddings.freeze else {}
        frozen = agreement.frozen_rows_of_chief(together, parameters, trained, own)
        scores = iter(range(1, 100))
        training = Training(
            trained,
            parameters,
            batches,
            lambda scores=scores: ValidationScores(float(next(scores))),
            context,
            frozen=frozen,
            distribution=together,
        )
        training.run()
        weights = [variable.numpy() for variable in training.variables]
        np.savez(folder / f"{name}-{workers}-{devices}.npz", *weights)
    print("done", flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)
