# Everything a newcomer types. `make help` lists it.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help up build test soak fuzz crashes leaving mutants bench bench-chain bench-worker bench-gateway fmt clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: build ## install what is missing, build, start a market on this machine, print its URL and key
	@. scripts/env.sh && exec "$$target/release/chainference" up $(ARGS)

build: ## build the binaries (the first time: half an hour on two cores); GPU=cuda for a GPU, too (or rocm, vulkan)
	@scripts/build

test: ## everything that CI checks: format, lints, licences, unit, virtual-machine and end-to-end tests
	@scripts/test

soak: ## 2,000,000 random instructions against the program's model, on all cores (STEPS=n for more or fewer)
	@. scripts/env.sh && cd localnet && CARGO_TARGET_DIR=$$localnet_target CHAINFERENCE_SOAK_STEPS=$${STEPS:-2000000} \
		cargo test --release --locked --test conservation -- --nocapture every_lamport

fuzz: ## bytes that strangers send, 10 minutes for each of four kinds (SECONDS=n for more or fewer, TARGETS= for some)
	@scripts/fuzz $(or $(SECONDS),600) $(TARGETS)

crashes: build ## kill the gateway at each stored step, 20 times each (SEEDS=n for more or fewer, FIRST=n to go on; an hour)
	@. scripts/env.sh && CHAINFERENCE_CRASH_SEEDS=$${SEEDS:-20} CHAINFERENCE_CRASH_FIRST_SEED=$${FIRST:-0} cargo test --release --locked --workspace --test e2e -- \
		--nocapture gateway_killed_at_any_stored_step

leaving: build ## 1,000 clients that leave in the middle (CLIENTS=n for more or fewer), and how soon the worker stops for one
	@. scripts/env.sh && CHAINFERENCE_LEAVING_CLIENTS=$${CLIENTS:-1000} cargo test --release --locked --workspace --test e2e -- \
		--nocapture --test-threads 1 leaving::

mutants: ## remove each guard of the program and change each rule of the market in turn: a test must notice (an hour)
	@scripts/mutants
	@scripts/mutants-market

bench: bench-chain bench-worker bench-gateway ## measure everything, into target/bench

bench-chain: ## what the program costs: compute, bytes, lamports a call; fails if a target is missed
	@. scripts/env.sh && cd localnet && CHAINFERENCE_BENCH=$$target/bench CARGO_TARGET_DIR=$$localnet_target \
		cargo bench --quiet --locked --bench chain

bench-worker: ## our worker against llama-server, on the same model (builds the peer once, then takes a quarter of an hour)
	@scripts/bench-worker

bench-gateway: build ## our gateway against others, in front of the same upstream (installs them once; ROUNDS=n CALLS=n)
	@scripts/bench-gateway

fmt: ## format the Rust sources
	@cargo fmt --all && cd localnet && cargo fmt --all

clean: ## remove what was built in this tree (never ~/.chainference)
	@cargo clean && cd localnet && cargo clean
