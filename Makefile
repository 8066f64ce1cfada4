# The commands of the project. Each says what it does and fails with a sentence; `make` alone lists them.

.PHONY: help demo test check bench fuzz golden

help:
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

demo: ## build, serve a small repository that Kubo wrote, print what to open (PORT=8080 picks the port)
	@.ci/demo

test: ## install what is missing, then every check and test, also against real peers
	@bash .ci/run

check: ## formatting, lints, licences, and who may link what: quick, before a commit
	@.ci/install build
	@bash .ci/run fmt clippy deny checks

bench: ## the side-by-side runs against nginx and Kubo (benches/README.md)
	@.ci/install bench
	@eval "$$(.ci/rocksdb)"; cargo run --locked --release -p coldfront-benches --bin side_by_side -- all

fuzz: ## each fuzz target for FUZZ_SECONDS (10)
	@.ci/install build
	@.ci/fuzz

golden: ## make the golden repositories anew with the pinned Kubo
	@.ci/install test
	@core/tests/golden/make.sh
