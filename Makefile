# run    build in release mode and start on the embedded default
# test   install what the tests need, and run all of them; test-page only those of the page, test-api only
#        whether answers are as described
# lint   formatting, clippy, dependencies, the page's types
# bench  how long a picture takes
# fuzz   untrusted input, mutated under a sanitizer, a minute for each target


# Failpoints exist only in a build whose command line asks for them.
TESTED := --workspace --features server/failpoints,worker/failpoints

# Nothing, or what cargo needs to do without libjpeg-turbo. Asked only by who builds, hence no `:=`.
PIXELS = $(shell ./integration-tests/fast-pixels)

# The tests that run on every release of RabbitMQ: the claims of the port, and the soak.
ON_EVERY_RELEASE := binary(transport) & test(rabbitmq::) + test(soak::)

# The page's type checker and the libraries of its tests. `npm ci` writes this file, so it runs only after a
# change of the lock file.
PAGE_TOOLS := frontend/node_modules/.package-lock.json

.PHONY: run test test-page test-api test-rabbitmq lint bench fuzz test-tools lint-tools

run:
	cargo run --release --locked $(PIXELS)

test: test-page test-api
	target/debug/with-rabbitmq cargo nextest run --locked $(TESTED) $(PIXELS)
	@for release in $$(./integration-tests/trixie releases); do \
		echo "again on RabbitMQ $$release"; \
		UP_TEST_RABBITMQ_RELEASE=$$release UP_TEST_SOAK_SECONDS=$${UP_TEST_SOAK_SECONDS:-30} target/debug/with-rabbitmq \
			cargo nextest run --locked $(TESTED) $(PIXELS) -E '$(ON_EVERY_RELEASE)' || exit 1; \
	done

# Some of the tests that need a broker: make test-rabbitmq FILTER=after_any_faults
test-rabbitmq: test-tools
	cargo build --locked --bins $(TESTED) $(PIXELS)
	target/debug/with-rabbitmq cargo nextest run --locked $(TESTED) $(PIXELS) --no-capture $(FILTER)

# The page: its types, its modules, and all of it in real Chromium against a real server.
test-page: test-tools $(PAGE_TOOLS)
	cd frontend && npm run check && npm test
	cargo build --locked --bins $(TESTED) $(PIXELS)
	cd frontend && UP_SERVER_BIN="$(CURDIR)/target/debug/up-server" npm run browser

# The interface: requests that fit its description and requests that do not, made up by schemathesis (Python 3).
test-api: test-tools
	cargo build --locked --bins $(TESTED) $(PIXELS)
	./integration-tests/api/run

lint: lint-tools $(PAGE_TOOLS)
	cd frontend && npm run check
	cargo fmt --all --check
	cargo clippy --locked --all-targets $(TESTED) $(PIXELS) -- -D warnings
	@# As the image is built, and with as little as can be.
	cargo clippy --locked -p server -p worker --no-default-features --features avif -- -D warnings
	cargo clippy --locked -p server -p worker --no-default-features -- -D warnings
	cargo deny --config .deny.toml check bans licenses sources
	./integration-tests/advisories

# PICTURES=/some/directory measures your own photographs.
bench: test-tools
	@./integration-tests/need /usr/share/backgrounds/mate/nature/Aqua.jpg mate-backgrounds
	@./integration-tests/need /usr/share/backgrounds/gnome gnome-backgrounds
	cargo build --locked --release -p server -p integration-tests --bin up-server --bin bench --bin bench-pixels $(PIXELS)
	target/release/bench-pixels $(PICTURES)
	target/release/bench $(PICTURES)

# FUZZ_SECONDS=3600 make fuzz takes an hour for each target. What a run learns is kept beside it, in fuzz/corpus.
# Leaks are left out: re_rav1d leaks 48 bytes a picture, and a decoder process ends after a hundred.
FUZZ_SECONDS ?= 60
# The last argument: more options of cargo fuzz.
define FUZZ
	cd $(1) && mkdir -p fuzz/corpus/$(2) && \
		ASAN_OPTIONS=detect_leaks=0 RUSTC_BOOTSTRAP=1 cargo fuzz run $(4) $(2) fuzz/corpus/$(2) $(3) -- -max_total_time=$(FUZZ_SECONDS) -timeout=20
endef
fuzz:
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	$(call FUZZ,worker,probe,fuzz/seeds heif/tests/samples)
	$(call FUZZ,worker,messages,golden)
	$(call FUZZ,worker,thumbnails,fuzz/seeds)
	$(call FUZZ,worker,tiff,fuzz/seeds/tiff)
	$(call FUZZ,worker/jpeg,jpeg,../fuzz/seeds)
	@# Checks of borrows in re_rav1d take twenty seconds for a small picture; those of overflows stay.
	$(call FUZZ,worker/heif,heif,tests/samples,--release)
	$(call FUZZ,server,socket,fuzz/seeds/socket)
	$(call FUZZ,server,forms,fuzz/seeds/forms)

# Each line: what must be there, and what brings it.
test-tools:
	@./integration-tests/need curl curl
	@./integration-tests/need /usr/bin/python3 python3
	@./integration-tests/need /usr/lib/python3/dist-packages/requests python3-requests
	@./integration-tests/need /usr/lib/python3/dist-packages/PIL python3-pil
	@./integration-tests/need /usr/lib/python3/dist-packages/numpy python3-numpy
	@./integration-tests/need /usr/lib/python3/dist-packages/aiohttp python3-aiohttp
	@./integration-tests/need /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
	@./integration-tests/need heif-enc libheif-examples
	@./integration-tests/need avifenc libavif-bin
	@./integration-tests/need npm npm
	@./integration-tests/need chromium chromium
	@./integration-tests/need firefox-esr firefox-esr
	@./integration-tests/need /usr/sbin/nginx nginx-light
	@./integration-tests/need /usr/bin/caddy caddy
	@./integration-tests/need openssl openssl
	@./integration-tests/need promtool prometheus
	@./integration-tests/need faketime faketime
	@./integration-tests/need /usr/share/backgrounds/Fossa_by_Jasper_Roks.jpg lomiri-wallpapers-20.04
	@./integration-tests/trixie
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest

$(PAGE_TOOLS): frontend/package-lock.json
	@./integration-tests/need npm npm
	cd frontend && npm ci --no-audit --no-fund --loglevel=error

lint-tools:
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
