"""What a trained model is saved as: SavedModel, checkpoint, quantized SavedModel and TensorFlow Lite."""
