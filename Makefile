# Every target is a plain command that can be typed by hand.
TOOL = go tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
# Where goroutines share something. The detector has one, and tests in deploy and
# docs drive other processes: -race takes ten times as long there and finds nothing.
RACE = ./cmd/... ./enforcer/... ./metrics/... ./receiver/...

.PHONY: attack build install kernels kernels-smoke package release run lab machine screenshot test needs lint fuzz bench bench-smoke soak clean

build: ## bin/uppercut, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/uppercut ./cmd/uppercut

run: build ## receive, judge and block on the embedded defaults (root)
	bin/uppercut serve

lab: build ## a real mail fleet under attack, to watch (root)
	go run ./deploy/lab/cmd -uppercut bin/uppercut

screenshot: build ## docs/page.png: the page of the lab's uppercut (root)
	go run ./deploy/lab/cmd -uppercut bin/uppercut -screenshot docs/page.png

install: build ## all that the packages hold, under DESTDIR if that is set (root)
	deploy/package/install '$(DESTDIR)'

package: ## dist/: deb and rpm for amd64, arm64 and armv7
	deploy/package/build '$(VERSION)'

release: ## dist/: binaries, packages and SBOMs with their checksums
	deploy/release/build '$(VERSION)'

needs: ## the Debian packages that the tests run for real (root)
	deploy/needs

test: needs lint bench-smoke ## everything (root)
	go test -race -timeout 30m $(RACE)
	go test -timeout 30m $$(go list ./... | grep -vxF "$$(go list $(RACE))")
	go test -count=1 -run '^TestBurst$$' ./receiver # slower than a burst with -race
	cd deploy/grafana && go test ./...
	cd deploy/compose && go test -timeout 20m ./...

lint:
	go vet ./...
	$(TOOL) golangci-lint run ./...

fuzz: ## each fuzz target for FUZZTIME (default 60s)
	deploy/fuzz/run

bench: build ## our figures beside what a user would take instead (root)
	go run ./deploy/bench $(BENCHFLAGS)

bench-smoke: ## every benchmark of every package once, small: none rots
	go test -short -run '^$$' -bench . -benchmem -benchtime 1x ./...

soak: build ## DURATION (default 30m) at RATE (default 100000) messages/s: nothing grows, drifts or is lost (root)
	go run ./deploy/bench -soak $(or $(DURATION),30m) -rate $(or $(RATE),100000)

attack: build ## hostile senders and visitors against an uppercut of its own: nothing is lost, killed or kept (root)
	go run ./deploy/attack $(ATTACKFLAGS)

kernels: ## Debian's kernels booted in qemu, what depends on them tried there: docs/kernels.md (root)
	deploy/kernels/run

kernels-smoke: ## Debian 12's kernel alone, what breaks most easily there: four minutes (root)
	deploy/kernels/run -smoke

machine: ## the package on whole machines in qemu, through reboot and power cut: docs/machine.md (root)
	deploy/machine/run

clean:
	rm -rf bin dist
