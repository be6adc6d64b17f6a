# Each target sets up .venv first: python3 (3.11 or later) and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AUDIT := $(VENV)/audit
PARALLEL := --numprocesses auto --dist worksteal
PIN := $(CURDIR)/$(BIN)/python -m piptools compile --quiet --strip-extras --allow-unsafe --generate-hashes \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: demo test test-deep compat storm coverage check format docs audit test-browser pictures bench bench-quick referee lock \
	bench-lock recipes release clean

$(READY): requirements.lock pyproject.toml
	@echo "installing what is needed into $(VENV), about a minute; it is done once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

demo: $(READY)  ## export from the simulator, with the live bar, and show the result
	$(BIN)/exporter demo

test: $(READY)  ## the whole test suite, on all cores
	$(BIN)/python -m pytest $(PARALLEL)

test-deep: $(READY)  ## the model tests with many more examples
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest tests/crawl/test_model.py tests/crawl/test_model_machine.py \
		tests/updating/test_update_model.py tests/updating/test_search.py

compat:  ## tests and an export with the oldest and the newest versions that are admitted (some 8 minutes, from the index)
	$(PYTHON) tests/compat.py

storm: $(READY)  ## kill, stop and damage whole exports at random, then fuzz what is read (five minutes)
	$(BIN)/python -m benchmarks.storm 240
	HYPOTHESIS_PROFILE=storm $(BIN)/python -m pytest tests/test_fuzz.py

coverage: $(READY)  ## the whole test suite; fails below 95% of the branches of exporter/ outside the simulator
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python tests/branch_floor.py

test-browser: $(READY)  ## the report in Chromium, which apt-get installs for root
	$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m pytest tests/browser/report_in_chromium.py

pictures: $(READY)  ## make the README's picture of a report anew (Chromium, as above)
	$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m tests.browser.picture docs/report.png

check: $(READY)  ## format, lint, layers, types, tests and their coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(MAKE) coverage

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## write docs/commands.md, docs/api.md and the README's table of options from the code
	$(BIN)/python docs/reference.py

audit: $(READY)  ## licences of what is installed, known vulnerabilities of the lock (needs the network)
	test -x $(AUDIT)/bin/pip-audit || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip-audit pip-licenses
	$(AUDIT)/bin/pip-licenses --python $(BIN)/python --from mixed --order license
	$(AUDIT)/bin/pip-audit --strict --requirement requirements.lock --require-hashes --disable-pip

bench: $(READY)  ## measure all contenders (about 15 minutes)
	$(BIN)/python benchmarks/compare.py

bench-quick: $(READY)  ## run four contenders once on few orders; fails if one is broken, never because of a time
	$(BIN)/python benchmarks/compare.py --quick

referee: $(READY)  ## count refusals with nginx at 20 requests a second (50 s; apt-get installs nginx for root)
	$(BIN)/python benchmarks/referee.py

lock: $(READY)  ## renew requirements.lock (needs pip-tools)
	$(PIN) --extra dev --output-file requirements.lock pyproject.toml

bench-lock: $(READY)  ## renew the requirements of the benchmarks' environments (needs pip-tools)
	cd benchmarks/requirements && for name in pandas dlt airbyte singer; do $(PIN) --output-file $$name.txt $$name.in; done
	cd benchmarks/requirements && for name in exporter recipes; do \
		$(PIN) -c ../../requirements.lock --output-file $$name.txt ../../pyproject.toml $$name.in; done

recipes: $(READY)  ## run the recipe for dlt, in an environment of its own (a minute, from the index)
	$(BIN)/python benchmarks/recipes.py

release: $(READY)  ## build wheel and sdist into dist/, twice, and check them; TAG=v1.2.3 must be this version (needs the network)
	TAG="$(TAG)" $(BIN)/python tests/release.py

clean:
	rm -rf $(VENV) benchmarks/.venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo
