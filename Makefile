# `make help` lists the verbs. What takes more than a line is a script under tools/ or a verb of lab/lab.py.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Flags for pytest and pulumi, for example: make e2e PYTEST='-k drift -x'
PYTEST ?=
PULUMI ?=
# The disposable host of stack lab.
HOST ?= web1
# The app that `make rollback` is about.
APP ?=
# More for `make scan`, for example: make scan SCAN='--ports 1-1024 --family 4'
SCAN ?=
# More for `make map`, see below.
MAP ?=
# More for `make lock`, for example: make lock LOCK='--upgrade-package rich'
LOCK ?=
# More for `make mutants`, see below.
MUTANTS ?=

ENV := . tools/env.sh;
BIN := .venv/bin

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo setup lab up preview plan policy rollback destroy ssh tunnels password status scan map restore down
demo: setup ## raise a disposable host, deploy to it and fetch the page from outside
	@tools/demo.sh $(HOST)

setup: ## install what is missing, make .venv, find or build the Pulumi engine
	@python3 tools/prepare.py

.PHONY: ready
ready:
	@python3 tools/prepare.py --quiet

.PHONY: ready-to-test
ready-to-test:
	@python3 tools/prepare.py --quiet --tests

lab: ready ## raise the disposable host and write Pulumi.lab.yaml
	@tools/lab.sh $(HOST)

up: ready ## make the disposable host what the code says
	@tools/stack.sh up $(or $(PULUMI),--yes)

# With differences a preview ends with 2, which is no failure here. PULUMI=--details shows each property.
preview: ready ## show every difference between the code and the disposable host
	@tools/stack.sh preview $(PULUMI) || [ $$? -eq 2 ]

plan: ready ## what the first up would do to things that exist already (read only)
	@$(ENV) portcullis plan --stack lab

policy: ready ## judge a stack by the policy pack: what no stack may do; STACK=prod
	@$(ENV) python tools/policy.py $(or $(STACK),lab)

rollback: ready ## bring back the image that an app ran before: make rollback APP=api
	@[ -n "$(APP)" ] || { echo "error: which app? make rollback APP=api" >&2; exit 1; }
	@$(ENV) portcullis rollback --stack lab "$(APP)" $(or $(PULUMI),--yes)

destroy: ready ## give back the disposable host as it was
	@tools/stack.sh destroy $(or $(PULUMI),--yes)

# As who deploys, on the port that is declared; before the first `up` as root, as the lab makes the host.
SSH := ssh -F .portcullis/lab/ssh_config -o ConnectTimeout=5
ssh: ready ## log in to the disposable host, as root
	@if [ -f .portcullis/lab/ssh_config ] && $(SSH) web1 sudo -n true </dev/null 2>/dev/null; \
	then $(SSH) $$([ ! -t 0 ] || echo -t) web1 sudo -i; \
	else $(ENV) python lab/lab.py ssh $(HOST); fi

tunnels: ready ## what people paste to reach the stores from home
	@$(ENV) portcullis tunnels --stack lab

password: ready ## the password of a store's user: make password STORE=redis
	@$(ENV) portcullis password --stack lab $(or $(STORE),$(error write STORE=redis, or what make tunnels names))

status: ready ## what the lab runs, and which engine and plugins are used
	@python3 tools/engine.py doctor
	@$(ENV) python lab/lab.py status

# FROM=another host that ssh knows asks from there; SCAN takes what `bin/portcullis scan --help` lists.
scan: ready ## ask all ports of the hosts from outside: what answers must be what is declared
	@$(ENV) portcullis scan --stack $(or $(STACK),lab) $(if $(FROM),--from "$(FROM)") $(SCAN)

# After a preview, MAP='--preview FILE' shows what it adds and removes; '--scan FILE' what `make scan` saw.
map: ready ## who reaches what, out of the state: .portcullis/map.html, and as Mermaid text
	@$(ENV) portcullis map --stack $(or $(STACK),lab) $(MAP)

# Of a stack of your own, STACK=prod, HOST is the alias in the settings; the lab's is web1, whatever its host.
# STORE=redis, mongo or mongo.DATABASE; FROM=a name of the list or latest; YES=1 asks nothing; SAFETY=no for a
# store that is broken, whose data cannot be dumped first.
restore: ready ## bring a backup back: STORE=redis FROM=latest; lists what there is without FROM
	@$(ENV) portcullis restore --stack $(or $(STACK),lab) --host $(if $(STACK),$(HOST),web1) \
		$(if $(FROM),--from "$(FROM)") $(if $(YES),--yes) $(if $(filter no,$(SAFETY)),--no-safety-dump) $(STORE)

down: ready ## take the disposable host and its network away
	@$(ENV) python lab/lab.py down --all

.PHONY: tools-only lint format types unit golden fuzz e2e e2e-docker29 drill drill-inventory drill-secrets torture upgrade record-state lock test mutants bench dist sbom audit
tools-only:
	@python3 tools/prepare.py --no-engine

lint: tools-only ## ruff: rules and format; import-linter: who may import whom
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@said=$$(PYTHONPATH=. $(BIN)/lint-imports --no-cache --no-logo 2>&1) || { echo "$$said"; exit 1; }

format: tools-only ## let ruff format and mend what it can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix .

types: tools-only ## mypy --strict
	@$(BIN)/mypy

# A third of it is waiting, so three files are run at once (tests/workers.py); PYTEST=-n0 runs one.
unit: tools-only ## the quick tests: no engine, no host
	@$(BIN)/python -m pytest -m "not e2e" --numprocesses 3 --dist loadfile --no-loadscope-reorder \
		tests/components tests/resources tests/agent tests/host tests/provider tests/config tests/cli tests/policy tests/golden tests/package \
		tests/tools tests/benchmarks tests/fuzz tests/test_*.py $(PYTEST)

golden: tools-only ## write the rendered files that the golden tests compare with
	@$(BIN)/python -m pytest tests/golden --update-golden $(PYTEST)

# FUZZ=examples of each property, and a tenth of them for each kind where a property is about every kind by itself.
fuzz: tools-only ## many examples of the parsers' and renderers' properties, hostile settings and hosts; SEED=repeats
	@seed=$(or $(SEED),$$RANDOM); echo "to repeat: make fuzz SEED=$$seed"; \
		FUZZ=$(or $(FUZZ),10000) $(BIN)/python -m pytest tests/fuzz --hypothesis-seed=$$seed --timeout 0 -s \
		--numprocesses 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

e2e: ready-to-test ## the main job on a real engine and a disposable host
	@$(ENV) python -m pytest tests/e2e $(PYTEST)

drill-inventory: ready-to-test ## change a disposable host by hand in every way: each shows, and nothing else does
	@$(ENV) DRILL=all python -m pytest -v tests/e2e/inventory/test_drill_inventory.py \
		tests/e2e/inventory/test_inventory_quiet.py $(PYTEST)

# A real full-upgrade of Debian 12 under the shop, security updates of Docker, nginx and OpenSSH at night, and
# certificates that run out by a real clock: half an hour.
upgrade: ready-to-test ## time passes on disposable hosts: Debian 13, security updates, certificates that end
	@$(ENV) DRILL=all python -m pytest -v -s tests/e2e/upgrades $(PYTEST)

record-state: ready-to-test ## at a release: record what this version makes of a stack, for later ones to keep
	@$(ENV) python -m tests.e2e.stack.record_state

drill: ready ## deploy hostile changes to a disposable host: nobody may be locked out
	@$(ENV) python -m pytest -v tests/e2e/access/test_drill.py $(PYTEST)

# It goes on at any round: make torture SEED=7 FROM=41. A seed's rounds are counted together, whenever they ran.
torture: ready-to-test ## kill deployments in every way at random: the next up has to converge; SEED=, KILLS=, FROM=, RACES=
	@$(ENV) seed=$(or $(SEED),$$RANDOM); echo "to repeat: make torture SEED=$$seed"; ended=0; \
		SEED=$$seed KILLS=$(or $(KILLS),100) FROM=$(or $(FROM),1) RACES=$(or $(RACES),50) python -m pytest -v \
		--timeout 1500 tests/e2e/torture tests/e2e/access/test_drill.py $(PYTEST) || ended=$$?; \
		python -m tests.e2e.torture.record $$seed; exit $$ended

# Ten minutes. It prints how many canaries were looked for, where, and what was found.
drill-secrets: ready-to-test ## a canary in every secret input, and all that can go wrong: it is found nowhere else
	@$(ENV) python -m pytest -s tests/e2e/secrets/audit.py $(PYTEST)

# What is about containers, on Debian 13 with Docker 29; then its other firewall backend.
DOCKER29 := access/test_reach.py exposure/test_exposure_by_hand.py exposure/test_exposure_quiet.py \
	data/test_rollout.py data/test_redis.py data/test_mongo.py host/test_existing_docker.py
e2e-docker29: ready-to-test ## the suites about containers, on hosts with Docker 29 and either firewall backend
	@$(ENV) LAB_DOCKER=29 python -m pytest tests/e2e/docker29 $(addprefix tests/e2e/,$(DOCKER29)) $(PYTEST)
	@$(ENV) LAB_DOCKER=29-nftables python -m pytest tests/e2e/docker29 $(PYTEST)

lock: tools-only ## lock the Python packages with hashes: requirements*.in to requirements*.txt
	@$(BIN)/python tools/lock.py $(LOCK)

# Most of it waits for hosts, so four files are run at once (tests/workers.py).
test: ready-to-test lint types ## everything: lint, types and every test
	@$(ENV) python -m pytest $(PYTEST) --numprocesses 4 --dist loadfile --no-loadscope-reorder

# Of some modules: make mutants MUTANTS='policy/ --most 30 --seed 1'
mutants: tools-only ## change the code in small ways: the quick tests have to notice 95 % of it; takes an hour
	@nice -n 19 $(BIN)/python tools/mutants.py $(MUTANTS)

dist: tools-only ## wheel and sdist in dist/, the same bytes at any time and in any folder
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist

sbom: tools-only ## the packages of the program as CycloneDX, in dist/
	@$(BIN)/python tools/supply.py sbom

# It needs PyPI's list of vulnerabilities and Go's, and fails where one cannot be asked.
audit: tools-only ## pip-audit and govulncheck: known vulnerabilities in what is locked
	@$(BIN)/python tools/supply.py audit

bench: ready ## speed of a drift check beside pyinfra and Ansible, of the inventory, and of the edge beside bare nginx and Caddy
	@$(ENV) python -m benchmarks
	@$(ENV) python -m benchmarks.preview_floor
	@$(ENV) python -m benchmarks.workers
	@$(ENV) python -m benchmarks.inventory
	@$(ENV) python -m benchmarks.proxy
