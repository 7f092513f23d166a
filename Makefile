PYTHON ?= .venv/bin/python
UV ?= uv

.PHONY: check test bench screenshots docs lock

check:  ## style, types, import rules between packages
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	PATH="$(dir $(PYTHON)):$$PATH" lint-imports

test:  ## all tests, side by side; OMNI_TUI_LONG=1 at full length; OMNI_TUI_REQUIRE=node,npm,redis,tmux,git,keyring,conformance,agentdojo,tiny turns what would be skipped into failures
	$(PYTHON) -m pytest -n auto

bench:  ## every figure beside a control of the same run; fails in the end if one is over its budget
	@missed=; for file in tests/bench/[a-z]*.py; do \
		name=$$(basename $$file .py); echo "== $$name"; \
		$(PYTHON) -m tests.bench.$$name || missed="$$missed $$name"; \
	done; \
	if [ -n "$$missed" ]; then echo "missed a budget, or broke:$$missed"; exit 1; fi

screenshots:  ## draw the pictures of the guide anew from the running app, and record the demo
	$(PYTHON) -m tests.screenshots
	$(PYTHON) -m tests.recording

docs:  ## the reference pages from the code, and the guide as a site in site/
	$(PYTHON) -m tests.reference
	NO_MKDOCS_2_WARNING=true $(PYTHON) -m mkdocs build --strict --config-file docs/mkdocs.yml

lock:  ## resolve anew: constraints.txt (versions) and requirements.lock (hashes)
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements.lock
	grep -v -- --hash requirements.lock | sed 's/ *\\$$//' > constraints.txt
