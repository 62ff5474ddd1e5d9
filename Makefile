# `make help` lists the targets. Longer recipes are scripts under tools/ or verbs of lab/lab.py.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Flags for pytest and pulumi, for example: make e2e PYTEST='-k drift -x'
PYTEST ?=
PULUMI ?=
# The disposable host of stack lab.
HOST ?= web1
# The app that `make rollback` rolls back.
APP ?=
# More arguments for `make scan`, for example: make scan SCAN='--ports 1-1024 --family 4'
SCAN ?=
# More arguments for `make map`, see below.
MAP ?=
# More arguments for `make lock`, for example: make lock LOCK='--upgrade-package rich'
LOCK ?=
# More arguments for `make mutants`, see below.
MUTANTS ?=

ENV := . tools/env.sh;
BIN := .venv/bin

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo setup lab up preview plan policy rollback destroy ssh tunnels password status scan map restore down
demo: setup ## start a disposable host, deploy to it and fetch its page from outside
	@tools/demo.sh $(HOST)

setup: ## install missing tools, create .venv, find or build the Pulumi engine
	@python3 tools/prepare.py

.PHONY: ready
ready:
	@python3 tools/prepare.py --quiet

.PHONY: ready-to-test
ready-to-test: ready ready-for-quick-tests

# Without the engine, which takes longest.
.PHONY: ready-for-quick-tests
ready-for-quick-tests:
	@python3 tools/prepare.py --quiet --tests
	@$(BIN)/python -m tests.prepare

lab: ready ## start the disposable host and write Pulumi.lab.yaml
	@tools/lab.sh $(HOST)

up: ready ## deploy the code to the disposable host
	@tools/stack.sh up $(or $(PULUMI),--yes)

# Exit code 2 means that the preview found differences, which is no failure here. PULUMI=--details shows each property.
preview: ready ## show every difference between the code and the disposable host
	@tools/stack.sh preview $(PULUMI) || [ $$? -eq 2 ]

plan: ready ## show what the first up would change on a host that is already in use (read-only)
	@$(ENV) portcullis plan --stack lab

policy: ready ## check a stack against the policy pack: what no stack may do; STACK=prod
	@$(ENV) python tools/policy.py $(or $(STACK),lab)

rollback: ready ## roll an app back to the image that it ran before: make rollback APP=api
	@[ -n "$(APP)" ] || { echo "error: no app is given; for example: make rollback APP=api" >&2; exit 1; }
	@$(ENV) portcullis rollback --stack lab "$(APP)" $(or $(PULUMI),--yes)

destroy: ready ## remove the stack from the disposable host and bring back its original files
	@tools/stack.sh destroy $(or $(PULUMI),--yes)

# It logs in as the deploying user, on the declared port. Before the first `up` it logs in as root.
SSH := ssh -F .portcullis/lab/ssh_config -o ConnectTimeout=5
ssh: ready ## log in to the disposable host, as root
	@if [ -f .portcullis/lab/ssh_config ] && $(SSH) web1 sudo -n true </dev/null 2>/dev/null; \
	then $(SSH) $$([ ! -t 0 ] || echo -t) web1 sudo -i; \
	else $(ENV) python lab/lab.py ssh $(HOST); fi

tunnels: ready ## print the commands that open tunnels to the stores
	@$(ENV) portcullis tunnels --stack lab

password: ready ## print the password of a store's user: make password STORE=redis
	@$(ENV) portcullis password --stack lab $(or $(STORE),$(error no store is given; write STORE=redis, or a store that make tunnels lists))

status: ready ## show what runs in the lab, and which engine and plugins are used
	@python3 tools/engine.py doctor
	@$(ENV) python lab/lab.py status

# FROM=HOST scans from another machine that ssh knows. SCAN takes the options of `bin/portcullis scan --help`.
scan: ready ## scan all ports of the hosts from outside and compare with what is declared
	@$(ENV) portcullis scan --stack $(or $(STACK),lab) $(if $(FROM),--from "$(FROM)") $(SCAN)

# MAP='--preview FILE' shows what a preview adds and removes. MAP='--scan FILE' shows what `make scan` found.
map: ready ## draw who reaches what, from the state: .portcullis/map.html, and Mermaid text
	@$(ENV) portcullis map --stack $(or $(STACK),lab) $(MAP)

# For your own stack, set STACK=prod and HOST to the host's alias in the settings. In the lab the alias is web1.
# STORE is redis, mongo, mongo.DATABASE, postgres or postgres.DATABASE. FROM is a backup's name, or latest. YES=1
# does not ask. SAFETY=no is for a broken store, whose current data cannot be saved first.
restore: ready ## restore a backup: STORE=redis FROM=latest; without FROM, list the backups
	@$(ENV) portcullis restore --stack $(or $(STACK),lab) --host $(if $(STACK),$(HOST),web1) \
		$(if $(FROM),--from "$(FROM)") $(if $(YES),--yes) $(if $(filter no,$(SAFETY)),--no-safety-dump) $(STORE)

down: ready ## remove the disposable host and its network
	@$(ENV) python lab/lab.py down --all

.PHONY: tools-only lint format types unit golden fuzz e2e e2e-docker29 drill drill-inventory drill-secrets torture upgrade record-state lock test test-all mutants bench dist sbom audit
tools-only:
	@python3 tools/prepare.py --no-engine

lint: tools-only ## check rules and format with ruff, and who imports whom with import-linter
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@said=$$(PYTHONPATH=. $(BIN)/lint-imports --no-cache --no-logo 2>&1) || { echo "$$said"; exit 1; }

format: tools-only ## format the code and fix what ruff can fix
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix .

types: tools-only ## check types with mypy --strict
	@$(BIN)/mypy

# The tests wait a third of their time, so three files run at once (tests/stories.py). PYTEST=-n0 runs one at a time.
unit: tools-only ## run the quick tests: no engine, no host
	@$(BIN)/python -m pytest -m "not hosted" --numprocesses 3 --dist loadfile --no-loadscope-reorder \
		tests/components tests/resources tests/agent tests/host tests/provider tests/config tests/cli tests/policy tests/golden tests/package \
		tests/tools tests/benchmarks tests/fuzz tests/test_*.py $(PYTEST)

golden: tools-only ## write the rendered files that the golden tests compare with
	@$(BIN)/python -m pytest tests/golden --update-golden $(PYTEST)

# FUZZ=N gives each property N examples. A property that runs once for each kind gets N/10 examples per kind.
fuzz: tools-only ## test parsers and renderers with many random and hostile inputs; SEED=N repeats a run
	@seed=$(or $(SEED),$$RANDOM); echo "to repeat: make fuzz SEED=$$seed"; \
		FUZZ=$(or $(FUZZ),10000) $(BIN)/python -m pytest tests/fuzz --hypothesis-seed=$$seed --timeout 0 -s \
		--numprocesses 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

e2e: ready-to-test ## run the end-to-end tests on a real engine and disposable hosts
	@$(ENV) python -m pytest tests/e2e $(PYTEST)

drill-inventory: ready-to-test ## change a disposable host by hand in every known way: each change shows, nothing else does
	@$(ENV) DRILL=all python -m pytest -v tests/e2e/inventory/test_drill_inventory.py \
		tests/e2e/inventory/test_inventory_quiet.py $(PYTEST)

# It takes half an hour. Debian 12 is really upgraded under the running shop. Docker, nginx and OpenSSH get their
# security updates at night. Certificates end by a real clock.
upgrade: ready-to-test ## test upgrades on disposable hosts: Debian 13, security updates, certificates that end
	@$(ENV) DRILL=all python -m pytest -v -s tests/e2e/upgrades $(PYTEST)

record-state: ready-to-test ## at a release: record a stack's state, against which later versions are tested
	@$(ENV) python -m tests.e2e.stack.record_state

drill: ready ## deploy dangerous changes to a disposable host: nobody may be locked out
	@$(ENV) python -m pytest -v tests/e2e/access/test_drill.py $(PYTEST)

# It can continue at any round: make torture SEED=7 FROM=41. The record counts all rounds of a seed together.
torture: ready-to-test ## kill deploys at random points: the next up has to converge; SEED=, KILLS=, FROM=, RACES=
	@$(ENV) seed=$(or $(SEED),$$RANDOM); echo "to repeat: make torture SEED=$$seed"; ended=0; \
		SEED=$$seed KILLS=$(or $(KILLS),100) FROM=$(or $(FROM),1) RACES=$(or $(RACES),50) python -m pytest -v \
		--timeout 1500 tests/e2e/torture tests/e2e/access/test_drill.py $(PYTEST) || ended=$$?; \
		python -m tests.e2e.torture.record $$seed; exit $$ended

# It takes half an hour on two busy cores. It prints how many canary values it looked for, where, and what it found.
drill-secrets: ready-to-test ## put canary values into all secret inputs, let everything fail, and search for leaks
	@$(ENV) python -m pytest -s tests/e2e/secrets/audit.py $(PYTEST)

# The tests about containers, on Debian 13 with Docker 29: first with iptables, then with nftables.
DOCKER29 := access/test_reach.py exposure/test_exposure_quiet.py \
	inventory/test_drill_inventory.py::test_all_changes_together_are_told_and_none_twice \
	inventory/test_drill_inventory.py::test_all_of_it_was_taken_back \
	data/test_rollout.py data/test_redis.py data/test_mongo.py host/test_existing_docker.py
e2e-docker29: ready-to-test ## run the tests about containers on Docker 29, with both firewall backends
	@$(ENV) LAB_DOCKER=29 python -m pytest tests/e2e/docker29 $(addprefix tests/e2e/,$(DOCKER29)) $(PYTEST)
	@$(ENV) LAB_DOCKER=29-nftables python -m pytest tests/e2e/docker29 $(PYTEST)

lock: tools-only ## lock the Python packages with hashes: requirements*.in to requirements*.txt
	@$(BIN)/python tools/lock.py $(LOCK)

test: lint types ready-for-quick-tests ## lint, types, quick tests, the stories on hosts, and those that the change touches (docs/tests.md)
	@$(BIN)/python -m tools.gate $(PYTEST)

# An hour and a half on two cores. Nothing is tried again, and every warning is an error.
test-all: lint types ready-to-test ## the same with all tests: every story, on every system; SEED=N repeats a run
	@$(ENV) python -m tools.gate --all $(PYTEST)

# Only for some modules: make mutants MUTANTS='policy/ --most 30 --seed 1'
mutants: tools-only ## make small changes to the code: the quick tests must notice 95 % of them; takes an hour
	@nice -n 19 $(BIN)/python tools/mutants.py $(MUTANTS)

dist: tools-only ## build wheel and sdist in dist/, with the same bytes at any time and in any folder
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist

sbom: tools-only ## list the packages of the program as CycloneDX, in dist/
	@$(BIN)/python tools/supply.py sbom

# It needs the vulnerability lists of PyPI and of Go, and fails if one of them does not answer.
audit: tools-only ## find known vulnerabilities in the locked packages, with pip-audit and govulncheck
	@$(BIN)/python tools/supply.py audit

bench: ready ## measure a drift check against pyinfra and Ansible, the inventory, and the edge against nginx and Caddy
	@$(ENV) python -m benchmarks
	@$(ENV) python -m benchmarks.preview_floor
	@$(ENV) python -m benchmarks.workers
	@$(ENV) python -m benchmarks.inventory
	@$(ENV) python -m benchmarks.proxy
