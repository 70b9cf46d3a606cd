# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
NEEDS   = setup.cfg pyproject.toml constraints.txt

.PHONY: demo test nightly lint types bench mutation docs pretrain clean

demo: $(VENV)/demo.stamp
	$(BIN)/max78k demo

test: lint types
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --max-worker-restart 0

nightly: $(VENV)/test.stamp  # 20 times as many random examples; 10,000 and more of each reader
	MAX78K_NIGHTLY=1 $(BIN)/python -m pytest tests/properties tests/unit/test_checkpoint.py tests/conformance \
	    tests/firmware/test_project.py

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

bench: $(VENV)/test.stamp
	$(BIN)/python -m tests.bench

mutation: $(VENV)/test.stamp
	$(PIP) --editable '.[mutation]'
	$(BIN)/python -m tests.mutation

docs: $(VENV)/test.stamp
	$(BIN)/python -m max78k_sim.docs

pretrain: $(VENV)/test.stamp
	$(BIN)/max78k pretrain

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "max78k needs Python 3.11 or later: make PYTHON=python3.11 " + "demo")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BIN)/python $(NEEDS)
	$(PIP) --editable '.[plots]'
	touch $@

$(VENV)/test.stamp: $(BIN)/python $(NEEDS)
	$(PIP) --editable '.[plots,train,digits,audio,emulate,tensorboard,test]'
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
