"""What leaves the trainer: SavedModel, checkpoint, quantized and TensorFlow Lite models."""
