"""The reports of `bitext show`: what the artifacts of a run hold. Only `subwords` needs TensorFlow."""
