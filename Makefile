.PHONY: help demo build test test-k8s check bench soak fuzz tools package image sbom

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: ## run a real training script and read its logs back
	@deploy/demo/run

build: ## the release binary, target/release/runlog
	cargo build --release -p runlog

test: ## every test, with a real Docker engine, Collector and browser
	@.ci/test

test-k8s: ## the sidecar and the chart on a real one-node Kubernetes, which is built the first time
	@tests/cluster/run

check: ## formatting, lints, dependencies, shape of the tree
	@.ci/check

bench: ## throughput and memory, beside the Collector on the same input
	@RUNLOG_TEST_COLLECTOR=$$(tests/tools/collector | tail -n 1) tests/bench/run

soak: ## 10 minutes of kills, rotations and outages, drawn from a seed; tests/soak/run --help
	@tests/soak/run

fuzz: ## a minute of random bytes for each parser, drawn from another seed each time; RUNLOG_FUZZ=10m is longer
	@RUNLOG_FUZZ=$${RUNLOG_FUZZ:-60s} cargo test -p runlog-tests --test fuzz -- --nocapture

package: ## Debian's package of a static program, target/debian/runlog_*.deb
	@deploy/debian/package "$$(deploy/docker/static | tail -n 1)"

image: ## an image of a static program for the Docker engine, runlog:latest; ARCH=arm64 for another machine
	@ARCH=$(ARCH) deploy/docker/image

sbom: ## what the program is made of, in CycloneDX's form, target/runlog.cdx.json
	@deploy/sbom target/runlog.cdx.json

tools: ## what the tests need besides Rust: make it, and print where it is
	@tests/tools/all
