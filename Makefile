# Everything runs in .venv, from the installed package: never from the source tree.
#   make demo      install the package, show several requests at once on one WebSocket and realtime sessions
#   make test      the whole test suite with branch coverage of aigw_proto, docs examples included
#   make test-sdk  the gateway behind providers' own SDKs, for Python and for Node
#   make simulate  20,000 seeds of both APIs on a bad network, into docs/topics/simulated.txt
#   make mutants   deliberate faults, and which simulated run catches each, into docs/topics/mutants.txt
#   make fuzz      coverage-guided fuzzing, SECONDS=60 for each target, or for TARGET=codec alone
#   make bench     speed beside other implementations, into docs/performance; also bench-check, bench-peers
#   make lint types docs coverage clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SDK := $(VENV)/sdk
BENCH := $(VENV)/bench
FUZZ := $(VENV)/fuzz
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST_ARGS ?=
SECONDS ?= 60
TARGET ?=
# What is compiled where it can be; it is tested as plain Python too, which is where its coverage is measured.
compiled := tests/aigw_proto/ws tests/aigw_proto/http tests/aigw_proto/envelopes tests/aigw_proto/gateway tests/aigw_proto/providers $(wildcard tests/aigw_proto/test_*.py) \
  $(patsubst %,tests/aigw_transports/test_%.py,asyncio_link asyncio_protocol asyncio_tls tls_session backlog link_table)
sources := $(shell find src -name '*.py' -o -name '*.pyx' -o -name '*.pxd' -o -name py.typed) pyproject.toml setup.py README.md LICENSE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-sdk simulate mutants bench bench-check bench-peers lint types types-bench docs coverage clean fuzz

help:
	@sed -n '2,8s/^#//p' Makefile

demo: $(VENV)/installed
	@$(BIN)/aigw demo

test: $(VENV)/installed $(VENV)/group-test
	$(BIN)/coverage erase
	[ "$$($(BIN)/python -c 'import aigw_proto.ws as ws; print(ws.IMPLEMENTATION)')" = pure ] || \
	  AIGW_PURE=1 $(BIN)/coverage run -m pytest $(compiled)
	$(BIN)/coverage run --append -m pytest --ignore=tests/sdk $(PYTEST_ARGS)
	$(BIN)/coverage report --skip-covered

test-sdk: $(SDK)/installed $(SDK)/node
	$(SDK)/bin/python -m pytest tests/sdk $(PYTEST_ARGS)

simulate: $(VENV)/installed
	@{ $(BIN)/python -c 'import os, platform, aigw_proto.ws as ws; \
	  print(f"{ws.IMPLEMENTATION} build, Python {platform.python_version()}, {os.cpu_count()} cores\n")' && \
	$(BIN)/aigw sim --scenario mixed --seeds 0..19999 && $(BIN)/aigw sim --scenario crowd --seeds 0..199 && \
	$(BIN)/aigw sim --scenario calm --seeds 0..999; } > docs/topics/simulated.txt; \
	status=$$?; cat docs/topics/simulated.txt; exit $$status

# From the source tree, a copy of which each fault is put into.
mutants: $(VENV)/installed $(VENV)/group-test
	cd tests && ../$(BIN)/python -m simulation.run_mutants

coverage: test
	$(BIN)/coverage html

lint: $(VENV)/group-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The tests are checked as well, so what they import must be there.
types: $(VENV)/installed $(VENV)/group-lint $(VENV)/group-test $(SDK)/installed
	$(BIN)/mypy --exclude '^tests/sdk/' src tests docs/examples docs/make_*.py
	$(BIN)/mypy --python-executable $(SDK)/bin/python --cache-dir .mypy_cache/sdk tests/sdk
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --pythonpath $(SDK)/bin/python --project tests/sdk

docs: $(VENV)/installed $(VENV)/group-docs
	AIGW_PURE=1 $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

fuzz: $(FUZZ)/installed
	PYTHONPATH=tests $(FUZZ)/bin/python -m fuzz.run --seconds $(SECONDS) $(TARGET)

bench: $(BENCH)/installed
	$(BENCH)/bin/python benchmarks/run.py
	$(BENCH)/bin/python benchmarks/report.py

# Apart from the other types, because the peers have to be there.
types-bench: $(BENCH)/installed $(VENV)/group-lint
	$(BIN)/mypy --python-executable $(BENCH)/bin/python --cache-dir .mypy_cache/bench benchmarks

bench-check: bench
	$(BENCH)/bin/python benchmarks/check.py

# Other gateways, as they come from their registries. One that cannot be installed is left out.
bench-peers: $(BENCH)/installed $(VENV)/litellm/installed $(VENV)/portkey/installed
	$(BENCH)/bin/python benchmarks/run.py peers --seconds 2
	$(BENCH)/bin/python benchmarks/report.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info docs/_build .coverage htmlcov .mypy_cache .pytest_cache .ruff_cache .hypothesis fuzz-findings
	rm -rf tests/sdk/node/node_modules

$(VENV)/created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

# Not editable, so that a file missing from the package is missed by the tests too; build/ would bring back deleted files.
$(VENV)/installed: $(VENV)/created $(sources)
	rm -rf build
	$(PIP) install .
	rm -rf build
	touch $@

# Dependency groups (PEP 735) need pip 25.1; the one that venv brings along may be older.
$(VENV)/pip: $(VENV)/created
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

$(VENV)/group-%: $(VENV)/pip pyproject.toml
	$(PIP) install --group $*
	touch $@

# The SDKs have an environment of their own, because they want older versions of what the other tests use. The gateway is
# not compiled for them: it would take longer than they do.
$(SDK)/created: $(VENV)/created
	$(PYTHON) -m venv $(SDK)
	$(SDK)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade 'pip>=25.1'
	touch $@

$(SDK)/installed: $(SDK)/created $(sources)
	rm -rf build
	AIGW_PURE=1 $(SDK)/bin/python -m pip --quiet --disable-pip-version-check install --group sdk .
	rm -rf build
	touch $@

# The benchmarks have one too, in which the gateway finds uvloop, and the tests do not.
$(BENCH)/created: $(VENV)/created
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade 'pip>=25.1'
	touch $@

$(BENCH)/installed: $(BENCH)/created $(sources)
	rm -rf build
	$(BENCH)/bin/python -m pip --quiet --disable-pip-version-check install --group bench .
	rm -rf build
	touch $@

# The fuzzer sees what Python does, and nothing of what is compiled.
$(FUZZ)/created: $(VENV)/created
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade 'pip>=25.1'
	touch $@

$(FUZZ)/installed: $(FUZZ)/created $(sources)
	rm -rf build
	AIGW_PURE=1 $(FUZZ)/bin/python -m pip --quiet --disable-pip-version-check install --group fuzz .
	rm -rf build
	touch $@

$(VENV)/litellm/installed: $(VENV)/created
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --quiet --disable-pip-version-check install 'litellm[proxy]==1.105.0' && touch $@ || \
	  { rm -rf $(@D); echo "LiteLLM could not be installed"; }

$(VENV)/portkey/installed: $(VENV)/created
	mkdir -p $(@D)
	cd $(@D) && npm install --silent --no-audit --no-fund --ignore-scripts @portkey-ai/gateway@1.15.2 && touch installed || \
	  { rm -rf node_modules; echo "Portkey could not be installed"; }

# Clients in JavaScript. Where npm is missing or fails, their tests are skipped and say so.
$(SDK)/node: $(SDK)/created tests/sdk/node/package.json
	if command -v npm >/dev/null; then \
	  (cd tests/sdk/node && timeout 180 npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts); \
	fi || rm -rf tests/sdk/node/node_modules
	touch $@
