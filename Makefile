# The commands of this repository. Each is a script of its own in scripts/, or
# one line of go.
.PHONY: help demo test lint fuzz bench sim cover contracts tools clean

help: ## list the commands
	@grep -E '^[a-z]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 10

demo: ## payments from creation to treasury, on an EVM in this process
	go run ./examples/quickstart

test: ## everything: format, vet, lint, fuzz, demo, figures, tests with the race detector
	@scripts/test.sh

lint: ## format, vet and lint every module
	@scripts/tools.sh golangci-lint
	@scripts/lint.sh

fuzz: ## fuzz every target, FUZZTIME each (30s)
	@scripts/fuzz.sh $(or $(FUZZTIME),30s)

bench: ## the figures, each with its bound; fails where one is missed
	go run ./bench -check

sim: ## the long simulation: thousands of seeds; fails where something that can happen never did
	GOGC=400 go test ./internal/sim -v -run 'TestSim$$|EveryCrashPoint' -timeout 4h -sim.seeds=3000 -sim.blocks=300 -sim.every=1 -sim.marks

cover: ## statement coverage of the root module
	@scripts/cover.sh

contracts: ## compile the contracts again, with the pinned compiler
	@scripts/contracts.sh

tools: ## install anvil, geth, solc and golangci-lint into .tools, PostgreSQL and PgBouncer on Debian
	@scripts/tools.sh

clean: ## remove .tools
	rm -rf .tools
