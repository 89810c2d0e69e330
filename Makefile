# `make up` is all a user needs; CONTRIBUTING.md has the rest.

PYTHON ?= python3
PORT ?= 8000
BROKERS ?=
PY := .venv/bin/python

# What the settings have to be in production, for `check --deploy`.
PRODUCTION = env -u DEBUG -u GDS_HTTPS GDS_DATA_DIR=$(CURDIR)/var/check DATABASE_URL=sqlite://:memory: \
	ALLOWED_HOSTS=console.example.org SECRET_KEY=a-long-value-that-only-this-check-uses-and-nobody-deploys

# What kills processes and times what follows has the machine to itself. The others run on two workers, a file's
# tests, which share what it sets up, on one of them.
ALONE = $(addprefix tests/integration/test_,kills.py outages.py exactly_once.py topic_made_again.py whole_console.py \
	worker_pipelines.py runtime_on_kafka.py halts_on_kafka.py group_protocols.py up.py) \
	tests/workers $(addprefix tests/browser/test_,first_light.py screenshots.py)
SIDE_BY_SIDE = tests $(ALONE:%=--ignore=%) --numprocesses 2 --dist loadfile

COMPILE = --quiet --universal --generate-hashes --python-version 3.11 --no-header

.DEFAULT_GOAL := help
.PHONY: help up down venv venv-dev test browser postgresql check lock bench

help:
	@echo "make up      the whole console on 127.0.0.1:$(PORT), Ctrl-C stops it (BROKERS=1 for a small machine)"
	@echo "make down    stop a console started with 'manage.py up --detach'"
	@echo "make venv    the environment alone, in .venv"
	@echo "make test    every test: unit, real Kafka, real Redis, real browser"
	@echo "make check   format, lint (Python, templates, scripts, styles), types, import contracts, migrations, deployment checks, audit"
	@echo "make bench   the benchmarks"
	@echo "make lock    compile requirements*.in to pinned, hashed requirements*.txt"

up: venv
	@exec $(PY) manage.py up --port $(PORT) $(if $(BROKERS),--brokers $(BROKERS)) $(UP)

down: venv
	@$(PY) manage.py down

venv:
	@$(PYTHON) gdsconsole/bootstrap.py

venv-dev:
	@$(PYTHON) gdsconsole/bootstrap.py --dev

test: venv-dev browser postgresql
ifdef TESTS
	@$(PY) -m pytest $(TESTS)
else
	@$(PY) -m pytest $(ALONE) --durations 25
	@$(PY) -m pytest $(SIDE_BY_SIDE) --durations 25
endif

browser:
	@$(PY) -m tests.chromium > /dev/null

postgresql:
	@$(PY) -m tests.postgresql > /dev/null

check: venv-dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	.venv/bin/biome check static/js static/css
	.venv/bin/djlint templates --lint --quiet
	$(PRODUCTION) $(PY) manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(PY) manage.py check --deploy --fail-level WARNING
	@$(PY) -m gdsconsole.devstack.audit requirements.txt requirements-java.txt

bench: venv-dev
	@$(PY) bench/run.py $(BENCH)

# The set for tests is held to the versions that users run.
lock: venv-dev
	@.venv/bin/uv pip compile $(COMPILE) requirements.in -o requirements.txt
	@.venv/bin/uv pip compile $(COMPILE) requirements-java.in -o requirements-java.txt
	@.venv/bin/uv pip compile $(COMPILE) requirements-dev.in -c requirements.txt -o requirements-dev.txt
