"""A run folder to a bundle: int8 TFLite and ONNX, proven to agree."""
