"""Export models: weights with a model card, or an ONNX file that is compared with its checkpoint."""
