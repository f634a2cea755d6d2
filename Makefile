# One door to everything: `make run` and `make test` work on a fresh machine with Python 3.11+, a Rust toolchain and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml -o -name '*.h' 2>/dev/null) Cargo.toml Cargo.lock
EXTENSION := python/fastlog/native/_core.abi3.so

# The tests wait for brokers and timers more than they compute: one process more than there are cores.
TEST_PROCESSES ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)

.PHONY: run cluster build test test-fast test-trees test-rust test-python lint format bench chaos ecosystem wheel fuzz clean

run: build  ## build all and start a broker on 127.0.0.1:9092
	$(BIN)/fastlog-broker

CLUSTER_ARGS ?=

cluster: build  ## three brokers with records going through them, to kill and look on; CLUSTER_ARGS=-h tells more
	$(BIN)/python -m examples.cluster $(CLUSTER_ARGS)

build: $(EXTENSION)  ## the commands fastlog, fastlog-broker and fastlog-keeper in .venv/bin

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(EXTENSION): $(STAMP) $(RUST_SOURCES)
	PIP_QUIET=1 VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet
	touch $@

test: test-rust test-python  ## every test

test-fast: build  ## the tests of single parts: under two minutes on two cores, once all is built
	cargo build --release --package fastlog-capi --quiet
	cargo test --package fastlog-core --lib --quiet
	$(BIN)/python -m pytest tests/unit -m 'not slow' --numprocesses $(TEST_PROCESSES) --dist loadfile -p no:benchmark

test-rust:
	cargo test --workspace --quiet

test-python: build
	cargo build --release --package fastlog-capi --quiet
	$(BIN)/python -m tests.suite --numprocesses $(TEST_PROCESSES)

test-trees: build  ## the integration tests with all metadata on a fastlog-keeper, then on three ZooKeeper servers
	$(BIN)/python -m tests.compat.on_trees --numprocesses $(TEST_PROCESSES) --dist loadfile

lint: build  ## formatting, clippy, ruff, types, import law, stub against binary
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff check python tests benches examples
	$(BIN)/ruff format --check python tests benches examples
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest fastlog.native._core --ignore-disjoint-bases \
		--allowlist rust/fastlog-py/stubtest.allowlist --ignore-unused-allowlist
	$(BIN)/lint-imports

format:
	cargo fmt --all
	$(BIN)/ruff check --fix python tests benches examples
	$(BIN)/ruff format python tests benches examples

bench: build  ## micro benchmarks, then throughput, many partitions and clusters beside Apache Kafka's in the same run
	cargo bench --package fastlog-core
	$(BIN)/python -m pytest benches/core --benchmark-only --benchmark-columns=min,median,ops -p no:cacheprovider
	$(BIN)/python -m benches.macro.starts --busy
	$(BIN)/python -m benches.macro.speed --json target/speed.json --plot target/speed.svg
	$(BIN)/python -m benches.macro.against_kafka
	$(BIN)/python -m benches.macro.security
	$(BIN)/python -m benches.macro.clients
	$(BIN)/python -m benches.macro.columns
	$(BIN)/python -m benches.macro.groups
	$(BIN)/python -m benches.macro.rebalances
	$(BIN)/python -m benches.macro.transactions
	$(BIN)/python -m benches.macro.compaction
	$(BIN)/python -m benches.macro.metrics
	$(BIN)/python -m benches.macro.partitions
	$(BIN)/python -m benches.macro.fetch_sessions
	$(BIN)/python -m benches.macro.topics
	$(BIN)/python -m benches.macro.console
	$(BIN)/python -m benches.macro.replicated --clusters 'fastlog*3' 'kafka*3'
	$(BIN)/python -m benches.macro.cluster_scale --clusters 'fastlog*3' 'kafka*3'

chaos: build  ## a group under churn, what is seen of guards that are gone, hours of brokers and clusters under kills
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m pytest tests/cluster/test_without_guards.py tests/chaos/transactions/test_guards.py -p no:benchmark -q
	FASTLOG_CLUSTER=full $(BIN)/python -m pytest tests/chaos/transactions/test_without_guards.py -p no:benchmark -q
	$(BIN)/python -m tests.cluster.chaos --minutes 30
	$(BIN)/python -m tests.chaos.transactions --minutes 60
	$(BIN)/python -m tests.chaos.transactions --cluster --minutes 30

ecosystem: build  ## all versions of what runs against the broker, records in and out, brokers that lose and make up some
	FASTLOG_CLUSTER=full $(BIN)/python -m pytest tests/compat -m 'whole or counted' -p no:benchmark -q

FUZZ_TARGETS ?= batch frame index plan reply
FUZZ_SECONDS ?= 3600

fuzz:  ## libFuzzer, an hour per target; needs `rustup toolchain install nightly` and `cargo install cargo-fuzz`
	cargo test --package fastlog-core --test fuzz_short --quiet -- --ignored write_corpus
	for target in $(FUZZ_TARGETS); do \
	  cargo +nightly fuzz run --fuzz-dir rust/fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

wheel: $(STAMP)  ## an abi3-py311 wheel in dist/
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin build --release --out dist

clean:
	rm -rf $(VENV) target dist $(EXTENSION)
