# Every target first creates the virtual environment .venv; nothing outside the checkout is changed.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: run test check format demo demo-sst2 clean
.SILENT:

run: $(VENV)/.core ## an MLPerf run of the embedded demo; ARGS, such as "--mode accuracy", go to python -m sut
	$(BIN)/python -m sut $(ARGS)

test: $(VENV)/.dev ## the tests; ARGS go to pytest
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## format, lint, strict types
	$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy --no-error-summary

format: $(VENV)/.dev ## format and fix everything
	$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

demo: $(VENV)/.dev ## train the demo model again (docs/design/demo-model.md)
	$(BIN)/python -m training.demo $(ARGS)

demo-sst2: $(VENV)/.dev ## train the sentiment model again (docs/design/adding-a-task.md)
	$(BIN)/python -m training.sst2 $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.core: pyproject.toml
	$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . && touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' && touch $@ $(VENV)/.core
