"""Writing a trained model for others: weights with a description and a card, or an ONNX graph."""
