# `make demo`: the whole journey on this machine. `make test`: all tests. Both install what is missing.
.PHONY: demo test test-slow schema setup build

demo: build
	examples/linode-to-heroku/demo.sh target/debug/pgferry

test: setup
	cargo test --workspace --locked
	@echo "Skipped here, run by \`make test-slow\`: memory of an apply of a 1 GB database."

test-slow: setup
	cargo test --workspace --locked -- --ignored

schema: setup
	UPDATE=1 cargo test --locked --test generated

build: setup
	cargo build --locked

setup:
	@.ci/setup
