# Everything a newcomer types. `make help` lists it.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help up build test soak fmt clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: build ## install what is missing, build, start a market on this machine, print its URL and key
	@. scripts/env.sh && exec "$$target/release/chainference" up $(ARGS)

build: ## build the binaries (the first time: half an hour on two cores)
	@scripts/build

test: ## everything that CI checks: format, lints, licences, unit, virtual-machine and end-to-end tests
	@scripts/test

soak: ## 2,000,000 random instructions against the program's model, on all cores (STEPS=n for more or fewer)
	@. scripts/env.sh && cd localnet && CARGO_TARGET_DIR=$$localnet_target CHAINFERENCE_SOAK_STEPS=$${STEPS:-2000000} \
		cargo test --release --locked --test conservation -- --nocapture every_lamport

fmt: ## format the Rust sources
	@cargo fmt --all && cd localnet && cargo fmt --all

clean: ## remove what was built in this tree (never ~/.chainference)
	@cargo clean && cd localnet && cargo clean
