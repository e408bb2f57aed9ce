# `make demo`: the whole journey on this machine. `make test`: all tests. Both install what is missing.
# `make bench`: how fast the engine is (`SIZES="1000 100000"`), beside Terraform if it is installed.
# `make bench-data`: how fast a database moves (`SCALE=60`), beside the guide's way, the bare limit of a copy, and pgcopydb if
# it is installed. `make bench-tables`: 2,500 small tables, and 50,000 large objects, beside `pg_dump` and `pg_restore`.
.PHONY: demo test test-slow bench bench-data bench-tables schema setup build

demo: build
	examples/linode-to-heroku/demo.sh target/debug/pgferry

test: setup
	cargo test --workspace --locked
	@echo "Skipped here, run by \`make test-slow\`: memory of an apply of a 1 GB database, all pairs of crashes, cases whose extensions are not here, and PostgreSQL's regression database."

test-slow: setup
	@.ci/extensions
	@.ci/regress
	CASES=23-,24- cargo test --locked --test cases -- --nocapture
	cargo test --locked --test regression -- --ignored --nocapture
	cargo test --locked --test memory -- --ignored --nocapture
	cargo test --locked --release --package pgferry-engine --test crash -- --ignored --nocapture

bench: setup
	cargo bench --locked --bench engine -- $(SIZES)

bench-data: setup
	cargo bench --locked --bench data -- $(SCALE)

bench-tables: setup
	cargo bench --locked --bench data -- tables

schema: setup
	UPDATE=1 cargo test --locked --test generated

build: setup
	cargo build --locked

setup:
	@.ci/setup
