# make demo | test | check | fix | serve | bench | corpora | lock
# Every target sets up what it needs by itself, and at once when that is already there.

VENV := .venv
VENV_313 := .venv-3.13
BIN := $(VENV)/bin
CONFIG ?= bastion.yaml
PORT ?= 2222
CORPORA ?= tests/vectors
MASKING ?=
# In CI a test that a busy machine failed is tried once more beside the others, and named in the
# summary; what fails then too is run alone. A test that fails alone is red.
RERUN := $(if $(CI),--reruns 1)
# Half of what the tests do is wait, so there is one worker more than cores.
WORKERS := $(shell n=$$(nproc 2>/dev/null) && echo $$((n + 1)) || echo auto)
ALONE = || { status=$$?; test -n "$(CI)" && test $$status = 1 && \
	$(1)/bin/python -m pytest --last-failed --last-failed-no-failures none $(2) $(PYTEST); }

# A change of the lock or of the project's own metadata sets the environment up anew.
STAMP := .installed-$(shell cat requirements-dev.txt pyproject.toml | cksum | tr ' ' -)

# program:package. The demo needs the first two alone.
DEMO_PROGRAMS := sshd:openssh-server ssh:openssh-client
TEST_PROGRAMS := $(DEMO_PROGRAMS) rsync:rsync git:git tmux:tmux zsh:zsh \
	node:nodejs npm:npm chromium:chromium chromedriver:chromium-driver xauth:xauth mkfs.btrfs:btrfs-progs psql:postgresql-client initdb:postgresql

.PHONY: demo test check fix serve bench corpora lock
.DELETE_ON_ERROR:

demo: $(VENV)/$(STAMP)
	$(call provide,$(DEMO_PROGRAMS))
	@exec $(BIN)/bastion demo --port $(PORT) $(if $(CHECK),--check)

test: $(VENV)/$(STAMP)
	$(call provide,$(TEST_PROGRAMS))
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(RERUN) $(PYTEST) $(call ALONE,$(VENV))
	@if $(call find_python,3.13); then $(MAKE) --no-print-directory test-3.13; \
	else echo "make test: no working Python 3.13 here, so the unit tests ran on $$($(BIN)/python -V) alone"; fi

# What a newer Python could change: values, schemas and files. The rest would say it all again.
UNITS := -q -m 'not story' tests/policy tests/wire tests/gate tests/control tests/secrets \
	tests/store tests/target tests/test_config.py

.PHONY: test-3.13
test-3.13: $(VENV_313)/$(STAMP)
	$(VENV_313)/bin/python -m pytest $(UNITS) -n $(WORKERS) $(RERUN) $(PYTEST) $(call ALONE,$(VENV_313),$(UNITS))

check: $(VENV)/$(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_architecture.py

fix: $(VENV)/$(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

serve: $(VENV)/$(STAMP)
	@exec $(BIN)/bastion serve --config $(CONFIG)

bench: $(VENV)/$(STAMP)
	$(call provide,$(DEMO_PROGRAMS))
	@$(BIN)/python -m tests.bench

corpora: $(VENV)/$(STAMP)
	$(call provide,$(DEMO_PROGRAMS) zsh:zsh)
	@$(BIN)/python -m tests.corpora $(CORPORA)
	@$(BIN)/python -m tests.corpora_masking $(MASKING)

# Only these two hold versions; neither names a place to fetch them from.
lock: $(VENV)/$(STAMP)
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --output-file requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --constraint requirements.txt --extra demo --extra dev \
		--output-file requirements-dev.txt pyproject.toml

$(VENV)/$(STAMP):
	$(call environment,$(VENV),3.11 3.12 3.13 3)

$(VENV_313)/$(STAMP):
	$(call environment,$(VENV_313),3.13)

# $(call find_python,VERSIONS): sets $python to the first one that really runs (a pyenv shim may
# only pretend to), is new enough, and can make a virtual environment.
find_python = { for version in $(1); do \
	for python in python$$version "$$(pyenv root 2>/dev/null)"/versions/$$version.*/bin/python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& break 2; python=; done; done; test -n "$$python"; }

# $(call environment,DIRECTORY,VERSIONS): a virtual environment with what the lock says, and the project.
define environment
	@$(call find_python,$(2)) || { $(call install,python3-venv) && $(call find_python,3); } || { \
	echo "bastion needs Python 3.11 or later, with its venv module." >&2; exit 1; }; \
	echo "setting up $(1) with $$("$$python" -V)"; \
	test -x $(1)/bin/python || "$$python" -m venv $(1)
	@$(1)/bin/python -m pip install -qq --require-hashes --only-binary :all: -r requirements-dev.txt
	@$(1)/bin/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@rm -f $(1)/.installed-*; touch $@
endef

# $(call install,PACKAGES): by apt where this is root, else one sentence that says what is missing.
install = { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "installing $(strip $(1))"; apt-get -qq update </dev/null && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(1) </dev/null; \
	else echo "bastion: please install the system packages that are missing:" $(1) >&2; false; fi; }

# $(call provide,PROGRAM:PACKAGE …): what is not here yet is installed. sshd lives where an
# ordinary user's PATH does not look, and PostgreSQL's server programs where nobody's does.
define provide
	@missing=; for pair in $(1); do \
	PATH="$$PATH:/usr/sbin:/sbin:$$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n1)" command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; done; \
	test -z "$$missing" || $(call install,$$missing)
endef
