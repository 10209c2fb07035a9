# Latchkey. make alone prints what can be made.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The commit is the version where there is no tag, and a copy without git has none.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Nothing of this machine goes into a program, so that anybody can build the same.
AS_IS := -trimpath -buildvcs=$(if $(filter unknown,$(VERSION)),false,true) -ldflags "-s -w -X main.version=$(VERSION)"
BUILD := CGO_ENABLED=0 go build $(AS_IS)
PAGES := CGO_ENABLED=0 go run $(AS_IS) -tags manual

# What makes namespaces, users and mounts runs as root. Programs are built before
# that, as the user, and a go command inside gets a build cache of its own, so
# that nothing in the user's caches changes its owner.
ifneq ($(shell id -u),0)
AS_ROOT := sudo -E env "PATH=$(PATH)" "GOMODCACHE=$(shell go env GOMODCACHE)" GOCACHE=/var/cache/latchkey-test/go-build
endif

# Where goroutines share state, tests run under the race detector. The rest starts
# whole programs and machines, which it does not see, or is one goroutine, as the
# simulation of a host.
RACE := latchkey/(authz|agent|controlplane)(/|$$)

# Modules of their own, so that what they need stays out of the product.
MODULES := e2e/apimodel bench/peers

FUZZTIME ?= 1m
COUNT ?= 5

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the three programs, into bin
	@mkdir -p bin
	@$(BUILD) -o bin/latchkey ./cmd/controlplane
	@$(BUILD) -o bin/latchkey-agent ./cmd/agent
	@$(BUILD) -o bin/latchkey-keys ./cmd/keys
	@echo "build: $(VERSION) in bin"

# Each program but the hook, built with the tag manual, writes its own pages.
.PHONY: man
man: ## the manual pages, into bin/man (man -M bin/man latchkey)
	@rm -rf bin/man
	@$(PAGES) ./cmd/controlplane bin/man/man1
	@$(PAGES) ./cmd/agent bin/man/man8
	@sed 's/@VERSION@/$(VERSION)/' packaging/man/latchkey-keys.8 >bin/man/man8/latchkey-keys.8
	@echo "man: $$(find bin/man -type f | wc -l) pages in bin/man"

.PHONY: needs
needs: ## install the Debian packages that the rest needs (asks sudo only if one is missing)
	@sh packaging/needs.sh

.PHONY: needs-test
needs-test:
	@sh packaging/needs.sh test

.PHONY: check
check: ## formatting, and go vet for Linux and Windows
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then printf 'gofmt would change:\n%s\n' "$$unformatted" >&2; exit 1; fi
	@go vet ./...
	@GOOS=windows go vet ./...
	@go vet -tags manual ./cmd/...
	@for module in $(MODULES); do (cd $$module && go vet ./...); done
	@echo "check: gofmt and go vet have nothing to say"

# -v tells what was skipped; only packages and failures are shown of it.
.PHONY: test
test: needs-test check build ## every test, none skipped
	@echo "test: running (whole machines of three Debian releases are made at the first run, which takes three minutes more)"
	@run() { env LATCHKEY_NO_SKIP=1 go test -v -count=1 -timeout 20m $(if $(AS_ROOT),-exec '$(AS_ROOT) LATCHKEY_NO_SKIP=1') "$$@" 2>&1; }; \
	raced=$$(go list ./... | grep -E '^$(RACE)') && others=$$(go list ./... | grep -vE '^$(RACE)'); \
	{ failed=0; run -race $$raced || failed=1; run $$others || failed=1; run -run '^TestSimulation' ./agent || failed=1; for module in $(MODULES); do (cd $$module && run ./...) || failed=1; done; exit $$failed; } | awk "$$REPORT"

define REPORT
/^ *--- PASS/ { passed++ }
/^ *--- FAIL/ { failed++ }
/^ *--- SKIP/ { skipped++; names = names "\n" $$0 }
/^(ok|FAIL|\?) *\t/ {
	if ($$1 == "FAIL") { broken++; printf "%s", said }
	if ($$1 != "?") { print; fflush() }
	said = ""
	next
}
!/^(=== |(PASS|FAIL)$$)/ && !/^ *--- PASS/ { said = said $$0 "\n" }
END {
	printf "%s", said
	if (skipped) print "skipped:" names
	printf "test: %d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit broken || failed || skipped || !passed
}
endef
export REPORT

.PHONY: test-long
test-long: needs-test build ## every fuzz target for FUZZTIME (1m) each, 10^6 days of a simulated host, then whole machines COUNT (5) times
	@grep -rn --include='*_test.go' -oE '^func Fuzz[A-Za-z0-9_]+' . | while IFS=: read -r file _ target; do \
		echo "fuzz: $${target#func } in $$(dirname "$$file") for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
	done
	@env LATCHKEY_NO_SKIP=1 LATCHKEY_LONG=1 go test -v -count=1 -timeout 3h -run '^TestSimulation$$' \
		$(if $(AS_ROOT),-exec '$(AS_ROOT) LATCHKEY_NO_SKIP=1 LATCHKEY_LONG=1') ./agent
	@env LATCHKEY_NO_SKIP=1 LATCHKEY_LONG=1 go test -count=$(COUNT) -timeout 3h \
		$(if $(AS_ROOT),-exec '$(AS_ROOT) LATCHKEY_NO_SKIP=1 LATCHKEY_LONG=1') ./e2e/...
	@echo "test-long: done"

.PHONY: bench
bench: needs build ## the figures of the README, each against a floor measured in the same run
	@go build -o bin/bench ./bench
	@cd bench/peers && go build -o ../../bin/bench-peers .
	@$(AS_ROOT) bin/bench

.PHONY: demo
demo: needs build ## the whole story on a throw-away machine; Ctrl-C ends it and cleans up
	@go build -o bin/demo ./e2e/demo
	@$(AS_ROOT) bin/demo

.PHONY: clean
clean: ## remove bin (cached machines stay in /var/cache/latchkey-test)
	@rm -rf bin
