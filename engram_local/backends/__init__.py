"""The backbones: one module a runtime, one protocol (base.py)."""
