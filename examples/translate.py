"""Translates lines of text with a pushed model. Needs TensorFlow only.

Usage: python examples/translate.py serving/tatoeba/1 < sentences.txt
It prints the score and the translation of each line.
"""

import itertools
import sys

import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
translate = model.signatures["serving_default"]
while lines := [line.rstrip("\n") for line in itertools.islice(sys.stdin, 64)]:
    answer = translate(text=tf.constant(lines))
    for score, text in zip(answer["score"].numpy(), answer["text"].numpy()):
        print(f"{score:6.2f}  {text.decode()}", flush=True)
