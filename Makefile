# Everything that is done with this checkout. `make help` lists it. Needs make, Python 3.11, a C compiler; no root.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=

# Which Python makes the virtual environment: `make PYTHON=/path/to/python3.12 test` names one.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

SOURCES := setup.py $(shell find src ext -name '*.pyx' -o -name '*.pxd' -o -name '*.h' 2>/dev/null) $(wildcard ext/*/*.c)
PIP := $(PY) -m pip --disable-pip-version-check -qq install
SAY := @printf '\033[1m== %s\033[0m\n'

.PHONY: help demo test build lint format layers docs flaws conformance fuzz corpora bench bench-echo bench-connections instructions
.PHONY: mutants sanitize debug coverage strict kernels-test dist clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: build ## set everything up, then show the guarded server refusing one hostile input for every rule
	@$(PY) -m framewarden.apps.demo $(ARGS)

test: build ## set everything up, then run the tests (ARGS="-k utf8" is passed on)
	@$(PY) -m pytest $(ARGS)

build: build/.built ## virtual environment and compiled modules, in place

lint: build $(VENV)/.group-lint ## ruff, cython-lint, mypy --strict, stubtest
	$(SAY) 'ruff check'
	@$(VENV)/bin/ruff check .
	$(SAY) 'ruff format --check'
	@$(VENV)/bin/ruff format --check .
	$(SAY) 'cython-lint'
	@PATH=$(CURDIR)/$(VENV)/bin:$$PATH cython-lint src # it starts pycodestyle by name
	$(SAY) 'mypy --strict'
	@$(VENV)/bin/mypy --strict
	$(SAY) 'stubtest: the .pyi files say what the compiled modules are'
	@MYPYPATH=src $(PY) -m mypy.stubtest --concise --allowlist tests/meta/stubtest_allowlist.txt \
		$(subst /,.,$(patsubst src/%.pyi,%,$(shell find src -name '*.pyi')))

format: $(VENV)/.group-lint ## let ruff rewrite what it can
	@$(VENV)/bin/ruff check --fix-only . && $(VENV)/bin/ruff format .

layers: build ## the directions of imports
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -m pytest -q tests/meta/test_layers.py

docs: build ## write docs/rules.md and docs/policy.md again, from the code
	@$(PY) docs/tables.py

flaws: build ## probe our server, websockets, aiohttp and node ws with the flaw pack, and write docs/flaws.md
	@PYTHONPATH=. $(PY) docs/flaws.py

conformance: build ## the Autobahn|Testsuite, as a server and as a client: 517 cases each, 45 minutes
	@$(PY) -m tests.conformance.run $(ARGS)

fuzz: build $(VENV)/.group-fuzz ## fuzz every parser for a minute (ARGS="--minutes 10 --target stream"); needs clang
	@$(PY) -m framewarden fuzz run $(ARGS)

corpora: build $(VENV)/.group-fuzz ## keep in fuzz/corpora what campaigns have found to reach something of its own
	@$(PY) -m framewarden fuzz pack $(ARGS)

bench: build $(VENV)/.group-bench ## benchmarks against the peers, in one run
	@$(PY) -m benchmarks $(ARGS)

bench-echo: build $(VENV)/.group-bench ## echo over loopback, in server CPU a message, beside the peers (node for ws)
	@$(PY) -m benchmarks.end_to_end $(ARGS)

bench-connections: build $(VENV)/.group-bench ## memory of an idle connection beside the peers
	@$(PY) -m benchmarks.connections $(ARGS)

instructions: build $(VENV)/.group-bench ## callgrind instructions a frame (needs valgrind)
	@command -v valgrind >/dev/null || { echo 'valgrind is missing: apt-get install valgrind' >&2; exit 1; }
	@$(PY) benchmarks/instructions.py $(ARGS)

# --- Builds of another kind, each in a copy of the tree, so that the one in place stays what it is -----------------

# $(call copy,name): the sources as they are now, in build/name.
copy = mkdir -p build/$(1) && rm -rf build/$(1)/tests build/$(1)/fuzz build/$(1)/examples && \
	tar -c --exclude='*.so' --exclude='__pycache__' --exclude='src/framewarden/*/*.c' \
		--exclude='src/framewarden/*/*/*.c' --exclude='*.egg-info' \
		setup.py pyproject.toml README.md LICENSE src ext tests docs fuzz examples | tar -x -C build/$(1)

# What a Python with a sanitized extension needs: the runtime first, a malloc that it can see, and no search for leaks,
# since Python itself leaves much to the end of the process.
SANITIZED = LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1

# A measurement of resident bytes says nothing where every allocation has red zones around it.
PADDED = --deselect tests/unit/engine/test_limits.py::test_an_idle_inspector_takes_less_than_1_kib

sanitize: build ## the extensions under ASan and UBSan, with the tests that reach them
	$(SAY) 'building with AddressSanitizer and UndefinedBehaviorSanitizer in build/sanitize'
	@$(call copy,sanitize)
	@cd build/sanitize && FRAMEWARDEN_BUILD_SANITIZE=1 ../../$(PY) setup.py -q build_ext --inplace
	@cd build/sanitize && PYTHONPATH=$$PWD/src $(SANITIZED) ../../$(PY) -m pytest -q --timeout=300 $(PADDED) \
		$(wildcard tests/unit tests/vectors tests/properties tests/anomalies tests/e2e/test_load_generator.py) $(ARGS)

debug: build ## the extensions with every check and assertion on, with the tests that reach them
	$(SAY) 'building with checks and assertions in build/debug'
	@$(call copy,debug)
	@cd build/debug && FRAMEWARDEN_BUILD_DEBUG=1 ../../$(PY) setup.py -q build_ext --inplace
	@cd build/debug && PYTHONPATH=$$PWD/src ../../$(PY) -m pytest -q --timeout=300 \
		$(wildcard tests/unit tests/vectors tests/properties tests/anomalies) $(ARGS)

coverage: build ## lines of Python and Cython that the tests reach
	$(SAY) 'building with line tracing in build/coverage'
	@$(call copy,coverage)
	@cd build/coverage && FRAMEWARDEN_BUILD_TRACE=1 ../../$(PY) setup.py -q build_ext --inplace
	@cd build/coverage && PYTHONPATH=$$PWD/src ../../$(PY) -m coverage run -m pytest -q --timeout=600 \
		$(wildcard tests/unit tests/vectors tests/properties tests/e2e) $(ARGS); \
		code=$$?; ../../$(PY) -m coverage report; exit $$code

strict: build ## a build in which every warning of gcc and every hint of Cython is an error
	$(SAY) 'building with warnings as errors in build/strict'
	@$(call copy,strict)
	@cd build/strict && FRAMEWARDEN_BUILD_WERROR=1 ../../$(PY) setup.py -q build_ext --inplace

mutants: build ## break the parser on purpose, in more than 100 ways: a test must notice each (20 minutes)
	@$(PY) -m tests.mutants.run $(ARGS)

# --- C tests of the kernels: native under ASan and UBSan; aarch64 under qemu where there is one --------------------

kernels-test: ## the C kernels alone: ASan and UBSan; NEON under qemu
	@$(MAKE) -C tests/kernels_c BUILD=$(CURDIR)/build/kernels test
	@if command -v qemu-aarch64 && command -v aarch64-linux-gnu-gcc; then \
		$(MAKE) -C tests/kernels_c BUILD=$(CURDIR)/build/kernels arm64; \
	elif [ "$${FRAMEWARDEN_REQUIRE_ALL:-0}" = 1 ]; then \
		echo '$(AARCH64)' >&2; exit 1; \
	else \
		echo '$(AARCH64)'; \
	fi >&2
AARCH64 = NEON not tested, aarch64 is missing: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user

# --- What a release is made of --------------------------------------------------------------------------------------

dist: build $(VENV)/.group-dev ## sdist, and the wheel made from it, in dist/
	@rm -rf dist
	@$(PY) -m build --no-isolation . >build/dist.log 2>&1 || { tail -n 40 build/dist.log >&2; exit 1; }
	@ls dist

clean: ## remove everything that was made, the virtual environment too
	@rm -rf build dist $(VENV) .hypothesis .benchmarks .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage
	@find src -name '*.so' -delete -o -name '*.egg-info' -prune -exec rm -rf {} +
	@find src -name '*.pyx' | sed 's/\.pyx$$/.c/' | xargs -r rm -f
	@find src tests benchmarks fuzz docs -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# --- Setting up ------------------------------------------------------------------------------------------------------

# Stops with one line that names the first thing that is missing, and how it is had.
define LOOK
missing() { echo "framewarden: $$1 is missing: $$2" >&2; exit 1; }; \
[ -n "$(PYTHON)" ] || missing 'Python 3.11 or newer' 'apt-get install python3 python3-venv python3-dev (or make PYTHON=/path/to/python3.11)'; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || missing 'Python 3.11 or newer' '$(PYTHON) is older, or no Python'; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing "Python's venv with ensurepip" 'apt-get install python3-venv'; \
header=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h; \
[ -e "$$header" ] || missing "Python's C header ($$header)" 'apt-get install python3-dev'; \
cc=$${CC:-$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}; \
printf '%s\n' '#include <stdlib.h>' 'int main(void) { return 0; }' | $$cc -x c - -o /dev/null 2>/dev/null || missing "a C compiler that works ($$cc)" 'apt-get install gcc libc6-dev'
endef

# The environment, made again when its Python has gone away.
$(VENV)/.made:
	@$(LOOK)
	$(SAY) 'virtual environment in $(VENV)'
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --upgrade 'pip>=25.1'
	@touch $@

# Dependency groups of pyproject.toml.
$(VENV)/.group-%: pyproject.toml $(VENV)/.made
	$(SAY) 'installing: $*'
	@$(PIP) --group $*
	@touch $@

# Compiled in place, so that a change costs only its own module; installed as editable, so that the tests and the
# `framewarden` command use what stands here. A build with switches (see setup.py) changes build/switches.
build/.built: $(SOURCES) $(wildcard build/switches) $(VENV)/.group-build $(VENV)/.group-test
	@$(LOOK)
	@mkdir -p build
	$(SAY) 'compiling what changed (the first time takes a minute or two)'
	@$(PY) setup.py -q build_ext --inplace
	$(SAY) 'installing framewarden into $(VENV), editable'
	@$(PIP) --no-build-isolation --editable .
	@touch $@
