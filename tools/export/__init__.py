"""Checkpoint -> model folder. folder.py makes it; backbone, builder, families and onnx make backbone.onnx, gguf and
gguf_vocab make backbone.gguf, layer and inject the Engram layers' graphs, tables the rows."""
