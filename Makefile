.DEFAULT_GOAL := help
.PHONY: help test lint crds controlplane

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

test: lint controlplane tools .venv/ready tests/iam/node_modules/ready ## Runs every check, against a real apiserver and on a real node too
	@# The tests of demo and image run what `cargo build` makes: with other features of crates than tests have, so not beside them.
	cargo build --locked
	REQUIRE_CONTROLPLANE=1 REQUIRE_BOTO3=1 REQUIRE_TOOLS=1 REQUIRE_CHAOS=1 CHAOS_SHORT=1 IPO_TEST_PYTHON=$(CURDIR)/.venv/bin/python cargo test --locked
	tests/e2e/run
	tests/e2e/getting-started

lint: ## Checks format and lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

crds: ## Generates crds/ and the chart's copy from src/api
	@cargo build --locked --quiet
	@cargo run --locked --quiet -- crd | awk ' \
	  /^---$$/ { close(file); file = "crds/" (n++ ? "inferenceprofileclasses" : "inferenceprofilebindings") ".yaml"; \
	    print "# Generated from src/api by `make crds`." > file; next } \
	  { print > file }'
	@cp crds/*.yaml charts/inference-profile-operator/files/

.PHONY: catalog-data
catalog-data: ## Regenerates the embedded data from live listings (LISTINGS=FOLDER AS_OF=DATE WITHOUT='REGION...')
	@dev/catalog-data $(strip $(addprefix --as-of ,$(AS_OF)) $(addprefix --without ,$(WITHOUT)) $(LISTINGS))

.PHONY: chart-docs
chart-docs: ## Generates the chart's README.md from its values.yaml
	@dev/tools/build helm-docs
	@.tools/helm-docs --chart-search-root charts --sort-values-order file --log-level warning

.PHONY: site
site: ## Builds the documentation as a site, in target/site
	@dev/tools/mdbook
	@dev/site/build

.PHONY: reference
reference: ## Generates docs/reference/ from crds/
	@UPDATE_GOLDEN=1 cargo test --locked --quiet --test it -- reference::

.PHONY: dashboard-picture
dashboard-picture: controlplane tools ## Draws docs/dashboard.svg from what Prometheus answers to the dashboard's queries
	@answers=$$(mktemp) && trap 'rm -f "$$answers"' EXIT && \
	DASHBOARD_ANSWERS=$$answers cargo test --locked --test apiserver -- monitoring::the_dashboard_is_drawn && \
	dev/dashboard-picture "$$answers" >docs/dashboard.svg

.PHONY: image
image: ## Makes the container image without a container engine, and checks it (PROFILE=dev: of the debug build)
	@tar=$$(dev/image/build) && dev/image/check "$$tar" && echo "$$tar"

controlplane: ## Builds etcd, kube-apiserver, kube-controller-manager and kubectl of the tests (the first time about 5 minutes on 2 cores)
	@dev/controlplane/build

.PHONY: test-oldest
test-oldest: tools ## Runs the cases against an apiserver of the oldest Kubernetes that is claimed
	assets=$$(dev/controlplane/build --version 1.30) && \
	KUBEBUILDER_ASSETS=$$assets REQUIRE_CONTROLPLANE=1 REQUIRE_TOOLS=1 cargo test --locked --test apiserver

.PHONY: install-yaml
install-yaml: ## Prints what an installation without Helm applies
	@dev/release/install-yaml

.PHONY: tools
tools: ## Builds the tools of the tests, and fetches Prometheus and shellcheck
	@dev/tools/cargo-deny
	@dev/tools/mdbook
	@dev/tools/build actionlint glua hcl2json helm helm-docs kube-score
	@dev/tools/debian shellcheck=shellcheck
	@dev/tools/prometheus

.PHONY: e2e
e2e: ## Installs the chart on a real node, and sees pods read their IDs (root on Linux; elsewhere skipped)
	@tests/e2e/run
	@tests/e2e/getting-started

.PHONY: deny
deny: ## Looks for crates, licenses and sources that deny.toml does not allow, and for advisories (needs the network)
	@dev/tools/cargo-deny
	@.tools/cargo-deny --locked check

.PHONY: fuzz
fuzz: ## Tries hostile input of each kind, 100,000 cases each (HOSTILE_CASES)
	HOSTILE_CASES=$${HOSTILE_CASES:-100000} cargo test --locked --test it -- hostile::

.PHONY: bench
bench: ## Measures the operator beside a floor (BENCH_SIZES=1000,4000,10000 BENCH_RUNS=3)
	cargo bench --locked --bench operator --no-run
	assets=$$(dev/controlplane/build --optimized) && KUBEBUILDER_ASSETS=$$assets dev/controlplane/with --crds crds cargo bench --locked --bench operator

.PHONY: bench-picture
bench-picture: ## Draws docs/performance.svg from what `make bench` measured (BENCH_RESULTS=FILE)
	@dev/bench-picture $(or $(BENCH_RESULTS),target/bench/operator.jsonl) >docs/performance.svg

.PHONY: bench-served
bench-served: .venv/ready ## Measures served-regions beside DuckDB and jq (BENCH_RECORDS=10000000 BENCH_RUNS=3 BENCH_FOLDER=/tmp)
	IPO_TEST_PYTHON=$(CURDIR)/.venv/bin/python cargo bench --locked --bench served

.PHONY: chaos
chaos: ## Acts out faults, and judges what the operator makes of them (CHAOS_SHORT=1 CHAOS_SEED=1 CHAOS_ROUNDS=3 CHAOS_ONLY=lease_deleted)
	@dev/tools/debian faketime=faketime
	cargo test --locked --test chaos --no-run
	assets=$$(dev/controlplane/build) && KUBEBUILDER_ASSETS=$$assets REQUIRE_CHAOS=1 cargo test --locked --test chaos

.venv/ready: tests/requirements.txt examples/app/requirements.txt
	@rm -rf .venv
	@python3 -m venv .venv || { rm -rf .venv; echo 'python3 can make no virtual environment: install venv (Debian: apt-get install python3-venv)' >&2; exit 1; }
	@.venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@

tests/iam/node_modules/ready: tests/iam/package.json tests/iam/package-lock.json
	@npm ci --prefix tests/iam --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: demo
demo: ## Shows the operator at work on a control plane of its own, without AWS (CONTEXT=kind-kind: on that cluster)
	@dev/demo/run $(if $(findstring command line,$(origin CONTEXT)),--context "$$CONTEXT")
