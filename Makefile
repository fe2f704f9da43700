# Each target makes its own .venv from nothing; all it needs is Python 3.11+ and a C compiler.
# What is installed is kept, so a second call starts at once. ARGS is passed on: make chat ARGS=--no-memory
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
SOURCES := setup.py pyproject.toml $(wildcard ext/*.pyx ext/*.pxd ext/*.c ext/*.h)
CONSTRAINTS := -c tests/constraints.txt
CHECKPOINT ?= build/pocket-checkpoint
.PHONY: chat serve test lint bench parity sanitize fuzz pocket train-pocket compare docs docs-site dist arm64 windows macos lowest newest clean

# Talk to the small trained model that ships in the package; one message a line when stdin is no terminal.
chat: $(VENV)/.installed
	@$(BIN)/engram-local chat $(ARGS)

# Serve it: OpenAI's protocol and a web page at http://127.0.0.1:8080.
serve: $(VENV)/.serve
	@$(BIN)/engram-local serve $(ARGS)

# The whole suite, both backends. The first call builds llama.cpp (3 to 7 minutes on 2 cores).
test: $(VENV)/.test
	@$(BIN)/python -m pytest tests --ignore=tests/parity $(ARGS)

# Style of Python and Cython, types, and whether docs/cli.md still says what --help says.
lint: $(VENV)/.lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint ext
	@$(BIN)/python -m mypy
	@$(BIN)/python -m engram_local.commands.help --check docs/cli.md
	@$(BIN)/python -m engram_local.commands.man --check docs/engram-local.1

# Tokens per second of the pocket model on this machine: memory off, on and resident, on and cold.
bench: $(VENV)/.installed
	@$(BIN)/engram-local bench $(ARGS)

# Against software nobody here wrote: engram-peft, transformers, stock llama.cpp, schemathesis, Chromium (installs torch).
parity: $(VENV)/.parity
	@$(BIN)/python -m pytest tests/parity tests/tools tests/serving $(ARGS)

# The extension under AddressSanitizer and UBSan, in a tree of its own.
sanitize:
	@PYTHON=$(PYTHON) sh tests/sanitize.sh

# ext/ without Python, against the cases of the kernel tests, cross-compiled: under qemu-user, under wine, and for macOS
# compiled and linked only. tests/c/run.sh names the packages that each needs.
arm64 windows macos: $(VENV)/.test
	@if [ $@ = macos ]; then $(PIP) install ziglang >&2; fi
	@$(BIN)/python tests/c/cases.py build/c/cases.bin
	@PYTHON=$(BIN)/python sh tests/c/run.sh $@

# Search the parsers of files that come from others, guided by coverage: make fuzz ARGS=600 (seconds a parser).
fuzz: $(VENV)/.test
	@$(PIP) install atheris >&2
	@$(BIN)/python tests/fuzz $(ARGS)

# Side-by-side measurements against other software, with plots.
compare: $(VENV)/.parity
	@$(PIP) install engramdb-python >&2
	@$(BIN)/python -m engram_local.tools.compare $(ARGS)

# The shipped model from a trained checkpoint: make pocket CHECKPOINT=folder
pocket: $(VENV)/.parity
	@$(BIN)/python -m engram_local.tools.export.pocket "$(CHECKPOINT)" $(ARGS)

# Train the pocket model: the full recipe on a GPU, a small setting (up to 30 minutes) without one.
train-pocket: $(VENV)/.parity
	@$(BIN)/python -m engram_local.tools.train "$(CHECKPOINT)" $(ARGS)

# docs/cli.md and the manual page, out of the commands themselves.
docs: $(VENV)/.installed
	@$(BIN)/python -m engram_local.commands.help > docs/cli.md
	@$(BIN)/python -m engram_local.commands.man > docs/engram-local.1

# docs/ as a site in build/site; a link that leads nowhere is an error.
docs-site: $(VENV)/.docs
	@$(BIN)/zensical build --strict

# Source distribution and wheel in dist/, checked, each installed away from this tree and asked a question.
dist:
	@PYTHON=$(PYTHON) sh tests/dist.sh

# The suite with the lowest versions that pyproject.toml allows, and with the newest of all; without llama.cpp. docs/cli.md is
# made by a newer typer than the lowest, whose arguments do not keep their help.
lowest newest: HELP_PAGE = tests/commands/test_cli.py::test_the_generated_pages_are_up_to_date
lowest newest:
	@$(PYTHON) -m venv build/$@
	@build/$@/bin/python -m pip --disable-pip-version-check -q install -U pip >&2
	@build/$@/bin/python -m pip --disable-pip-version-check -q install -U $(if $(filter lowest,$@),-c tests/lowest.txt) -e '.[test]' >&2
	@build/$@/bin/python -m pip list --format=freeze | grep -iE '^(numpy|onnxruntime|tokenizers|jinja2|typer|rich|prompt.toolkit|zstandard|starlette|uvicorn|pydantic|prometheus.client|llguidance)='
	@build/$@/bin/python -m pytest tests --ignore=tests/parity $(if $(filter lowest,$@),--deselect $(HELP_PAGE)) $(ARGS)

clean:
	rm -rf $(VENV) build dist engram_local/*.so engram_local.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "engram_local needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(SOURCES)
	@echo 'Setting up $(VENV) (once) ...' >&2
	@$(PIP) install -e . >&2
	@touch $@

$(VENV)/.serve: $(VENV)/.installed
	@$(PIP) install -e '.[serve]' >&2
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	@$(PIP) install $(CONSTRAINTS) -e '.[test,gguf]' >&2
	@touch $@

$(VENV)/.lint: $(VENV)/.installed
	@$(PIP) install -e '.[lint]' >&2
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	@$(PIP) install -e '.[docs]' >&2
	@touch $@

$(VENV)/.parity: $(VENV)/.test
	@$(PIP) install $(CONSTRAINTS) torch >&2
	@$(PIP) install $(CONSTRAINTS) -e '.[export,train,parity]' >&2
	@touch $@

# Facts for a model that you have (docs/knowledge.md). smol: SmolLM2-135M-Instruct with the pocket corpus' facts beside
# it; trained on a GPU, in a small setting without one, or taken from elsewhere: make smol ARGS='--checkpoint folder'.
SMOL ?= build/smol
.PHONY: smol chat-smol
smol: $(VENV)/.parity
	@$(BIN)/python -m engram_local.tools.teach.smol $(SMOL) $(ARGS)

# Talk to it; SMOL_ARCHIVE=file.tar.zst unpacks a made one in place of training.
chat-smol: $(VENV)/.test
	@if [ ! -d $(SMOL)/model ] && [ -n "$(SMOL_ARCHIVE)" ]; then \
		mkdir -p $(SMOL) && $(BIN)/engram-local unpack $(SMOL_ARCHIVE) $(SMOL)/model >&2; fi
	@[ -d $(SMOL)/model ] || $(MAKE) smol ARGS=
	@$(BIN)/engram-local chat $(SMOL)/model $(ARGS)
