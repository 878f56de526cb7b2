# Every target does its own set-up, in .venv and infra/local/node_modules; nothing system-wide but
# what `browser` says.
.DEFAULT_GOAL := help
.PHONY: help install browser demo start test soak mutants check format bench pictures lock infra schemas sbom

VENV := .venv
PYTHON := $(VENV)/bin/python
PARTS := $(VENV)/.installed
AZURITE := infra/local/node_modules/.installed
TOOLS := $(VENV)/.tools
# What the demo needs; it says what it installs. The first time, Azurite comes with the first rule.
DEMO := $(PARTS) $(AZURITE)

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(DEMO) $(TOOLS) ## Set up all for development, if something has changed

$(PARTS): infra/local/requirements.txt infra/local/node-requirements.txt
	@python=$$(infra/scripts/find-python.sh) && "$$python" -m infra.local.install demo
	@touch $@

$(AZURITE): infra/local/package-lock.json | $(PARTS)
	@$(PYTHON) -m infra.local.install azurite

$(TOOLS): tests/requirements.txt $(PARTS)
	@$(PYTHON) -m infra.local.install development
	@touch $@

browser: ## Install Debian's Chromium, which the tests of the page need, on this machine
	@infra/scripts/install-browser.sh

demo: $(DEMO) ## Run the main job: two files become attachments, and their bytes are compared
	@$(PYTHON) -m infra.local demo

start: $(DEMO) ## Run the local stack until Ctrl-C; PORT=7071 DATA=.local/data ENGINE=unkind:7
	@$(PYTHON) -m infra.local start $(if $(PORT),--port="$(PORT)") $(if $(DATA),--data="$(DATA)") \
		$(if $(ENGINE),--engine="$(ENGINE)")

test: install ## Run all tests
	@$(PYTHON) -m pytest --numprocesses 2 --dist worksteal

soak: install ## Try 20,000 seeded schedules and 1,000 kills, and print the figures
	@$(PYTHON) -m tests.faults.soak

mutants: install ## Change the code in small ways, and count the changes that no fast test notices
	@mkdir -p mutants/infra/local
	@ln -sfn $(CURDIR)/infra/local/node_modules mutants/infra/local/node_modules
	@PATH="$$PATH:$(CURDIR)/$(VENV)/bin" nice -n 10 $(VENV)/bin/uv tool run --quiet --python $(PYTHON) --with-requirements \
		tests/requirements.txt --from mutmut==3.8.1 mutmut run --max-children 1 $(ONLY)

check: $(TOOLS) ## Lint, type check and formatting; changes nothing
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

format: $(TOOLS) ## Fix lint and formatting
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

bench: install ## Measure speed, memory and cost against bare loops and other clients
	@$(PYTHON) -m tests.benchmarks $(ONLY)

infra: $(TOOLS) ## Print what goes to Azure: resources, roles and app settings
	@$(PYTHON) -m infra.offline

schemas: $(DEMO) $(TOOLS) ## Write Azure's schemas anew that the templates are checked against (x64 Linux)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm install --prefix .local/schemas --no-save --silent \
		--no-audit --no-fund @azure/mcp-linux-x64@2.0.5
	@$(PYTHON) -m infra.offline.snapshot .local/schemas/node_modules/@azure/mcp-linux-x64/dist/azmcp

sbom: $(TOOLS) ## Write what the app is made of to .local/sbom.json (CycloneDX)
	@mkdir -p .local
	@$(VENV)/bin/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements \
		--output-file .local/sbom.json requirements.txt
	@echo "Written: .local/sbom.json"

pictures: install browser ## Take README's pictures of the page anew
	@$(PYTHON) -m pytest -q tests/e2e/test_monitor_sending.py -k first_file
	@mkdir -p docs
	@cp .local/screenshots/readme-list.png docs/page-list.png
	@cp .local/screenshots/readme-detail.png docs/page-detail.png

lock: $(TOOLS) ## Write the lock files anew from the requirements.in and node-requirements.in
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes \
		--custom-compile-command "make lock" -o requirements.txt requirements.in
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes \
		--custom-compile-command "make lock" -o infra/local/requirements.txt infra/local/requirements.in
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes \
		--custom-compile-command "make lock" -o infra/local/node-requirements.txt \
		infra/local/node-requirements.in
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes \
		--custom-compile-command "make lock" -o tests/requirements.txt tests/requirements.in
