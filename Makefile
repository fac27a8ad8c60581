# Needs Python 3.11 or newer, git and make. Everything else is installed into .venv, or built once
# into ~/.cache/mwaa-on-eks.

PYTHON ?= python3
VENV := .venv/bin
# Files side by side, each in the order in which it is written, as many as there are cores: with one
# more, which waits less and slows the others down, all take a fifth longer. A sandbox takes 1 to 2 GB.
PYTEST = $(VENV)/pytest --dist loadfile --no-loadscope-reorder --numprocesses logical --maxprocesses 5

# Where it is set, as in many images for containers, each engine, plugin and test compiles the AWS SDK
# of Pulumi anew: a preview takes more than twice as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up preview airflow dags down cost test lint settings install sync

help:
	@echo "make up        bring the platform up on this machine"
	@echo "make preview   show what 'make up' would change, and what policies say of it"
	@echo "make airflow   run its Airflow here, with its web page, until Ctrl-C"
	@echo "make dags      run the examples and show what comes of them; V=1 shows all that Airflow prints"
	@echo "make down      destroy it and leave nothing"
	@echo "make cost      tell what a stack costs in a month: STACK=dev, REGION=us-east-1"
	@echo "make test      run the tests"
	@echo "make lint      check format, style, types and workflows"
	@echo "make settings  write the declared settings into Pulumi.yaml and docs/settings.md"

up airflow down: install
	@$(VENV)/python -m sandbox $@

preview: install
	@$(VENV)/python -m sandbox preview --policy-pack policy

dags: install
	@$(VENV)/python -m sandbox dags $(if $(V),-v)

cost: install
	@$(VENV)/python -m cost --stack $(or $(STACK),dev) $(if $(REGION),--region $(REGION))

test: install
	@$(VENV)/python -m sandbox build
	@$(PYTEST)

lint: install
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy --cache-dir "$${XDG_CACHE_HOME:-$$HOME/.cache}/mwaa-on-eks/mypy" .
	@$(VENV)/lint-imports --no-cache >/dev/null || $(VENV)/lint-imports --no-cache
	@$(VENV)/zizmor --offline --quiet .github >/dev/null || $(VENV)/zizmor --offline .github
	@"$$($(VENV)/python -m sandbox.machine.go_builds actionlint)/actionlint" -shellcheck= -pyflakes=

settings: install
	@$(VENV)/python -m settings.reference

# Each time, since `pulumi install` takes out again what the program itself does not need.
install:
	@test -x $(VENV)/uv || { \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	        echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.13 ..." >&2; \
	        exit 1; \
	    }; \
	    $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	        echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
	        exit 1; \
	    }; \
	    $(PYTHON) -m sandbox.machine.progress "installing Python packages into .venv" \
	        $(MAKE) --silent $(VENV)/uv sync; \
	}
	@$(MAKE) --silent sync

$(VENV)/uv:
	$(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --disable-pip-version-check \
	    "$$(sed -n 's/.*"\(uv==[0-9.]*\)".*/\1/p' sandbox/pyproject.toml)"

sync:
	UV_PROJECT_ENVIRONMENT=.venv $(VENV)/uv sync --locked --quiet --all-packages --group dev
