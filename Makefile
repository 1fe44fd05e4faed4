PYTHON ?= python3
BIN := .venv/bin
THREADS := OMP_NUM_THREADS=1
CONSTRAINTS ?= constraints.txt
ARGS ?=

.PHONY: demo test kills lint docs audit clean

# The environment: made once, and again when what it is made from changes.
.venv/done: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e '.[dev]' -c $(CONSTRAINTS)
	touch $@

# Condense real digits and score the result beside random, herding and the whole set; rank architectures on it; learn
# the digits two classes at a time with a condensed memory. Everything lands in demo/.
demo: .venv/done
	$(BIN)/proxyset build --config configs/proxyset/demo.yaml --force
	$(BIN)/proxyset eval demo/digits-dm.safetensors --nets 3 --baseline random herding whole
	$(BIN)/search run --config configs/search/demo.yaml --force
	$(BIN)/search export demo/search --force
	$(BIN)/continual run --config configs/continual/demo.yaml --force
	$(BIN)/proxyset report demo/digits-dm.safetensors
	@echo "look at demo/digits-dm-report.html, demo/search/report.html and demo/continual/report.html"

# All checks. ARGS narrows the tests: make test ARGS='tests/search -k rank'
test: lint
	$(THREADS) $(BIN)/pytest -n 2 --dist worksteal $(ARGS)

# Kills every program at every write point, a grid three times, and a machine of a cluster; `make test` takes a few points.
kills: .venv/done
	$(THREADS) KILL_EVERY=1 $(BIN)/pytest -n 2 tests/robust tests/proxyset/cli/test_grid.py -k 'kills or Killed'

lint: .venv/done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as pages in site/; warnings are errors.
docs: .venv/done
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pinned versions against the known vulnerabilities; needs the network. The checker has an environment of its own.
audit: .venv/audit/done
	@$(PYTHON) tools/audit.py .venv/audit/bin/pip-audit $(CONSTRAINTS)

.venv/audit/done:
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --quiet pip-audit
	touch $@

clean:
	rm -rf .venv demo site build *.egg-info .mypy_cache .ruff_cache .pytest_cache
