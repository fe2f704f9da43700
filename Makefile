# make chat | test | lint | bench: each makes its own .venv from nothing; needs Python 3.10+ and a C compiler.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
