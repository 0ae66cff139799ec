# run    build in release mode and start on the embedded default
# test   install what the tests need, and run all of them
# lint   formatting, clippy, dependencies, the page's types
# bench  how long a picture takes


# Failpoints exist only in a build whose command line asks for them.
TESTED := --workspace --features server/failpoints,worker/failpoints

# browser  the page's tests in real Chromium
.PHONY: run browser test lint bench test-tools lint-tools

run:
	cargo run --release --locked

test: test-tools
	cd frontend && npm ci --no-audit --no-fund --loglevel=error && npm run check && npm test
	cargo build --locked --bins $(TESTED)
	target/debug/with-rabbitmq cargo nextest run --locked $(TESTED)

lint: lint-tools
	cargo fmt --all --check
	cargo clippy --locked --all-targets $(TESTED) -- -D warnings
	cargo deny --config .deny.toml check bans licenses sources

# The page in real Chromium, against a real server.
browser: test-tools
	cargo build --locked --bins $(TESTED)
	cd frontend && npm ci --no-audit --no-fund --loglevel=error && UP_SERVER_BIN="$(CURDIR)/target/debug/up-server" npm run browser

bench: test-tools
	cargo build --locked --release --bins -p server -p integration-tests
	target/release/bench

# Each line: what must be there, and what brings it.
test-tools:
	@./integration-tests/need curl curl
	@./integration-tests/need /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
	@./integration-tests/need npm npm
	@./integration-tests/need chromium chromium
	@./integration-tests/need /usr/share/backgrounds/Fossa_by_Jasper_Roks.jpg lomiri-wallpapers-20.04
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest

lint-tools:
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
