"""Calls signatures of a SavedModel in any TensorFlow, with `tf.saved_model.load` and `hub.KerasLayer`.

    python oldest_tensorflow.py FOLDER < requests.json > answers.json

A request is {"signature": NAME, "inputs": {INPUT: VALUE}}. An answer has the outputs, with texts in Latin-1.
The answer of the layer to the inputs of `serving_default` comes last. The version is on standard error.
"""

import json
import sys

import tensorflow as tf
import tensorflow_hub as hub


def listed(outputs):
    """Returns outputs as nested lists."""
    return {name: spell(value.numpy().tolist()) for name, value in outputs.items()}


def spell(value):
    """Returns nested lists with texts that JSON takes."""
    if isinstance(value, list):
        return [spell(one) for one in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value


def main():
    """Answers the requests of standard input."""
    folder = sys.argv[1]
    signatures = tf.saved_model.load(folder).signatures
    requests = json.load(sys.stdin)
    answers = []
    for request in requests:
        inputs = {name: tf.constant(value) for name, value in request["inputs"].items()}
        answers.append(listed(signatures[request["signature"]](**inputs)))
    layer = hub.KerasLayer(folder, signature="serving_default", signature_outputs_as_dict=True)
    [texts] = [r["inputs"]["text"] for r in requests if r["signature"] == "serving_default"]
    answers.append(listed(layer(tf.constant(texts))))
    json.dump(answers, sys.stdout)
    print(tf.__version__, file=sys.stderr)


if __name__ == "__main__":
    main()
