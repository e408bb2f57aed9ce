#!/usr/bin/env bash
# The whole journey on this machine: real Postgres servers, emulated Linode, Heroku and bucket store.
# Usage: demo.sh PGFERRY (the built binary); `make demo` does all of it.
set -euo pipefail
pgferry=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
cleanup() {
  "$pgferry" sandbox down --dir "$work/sandbox" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT
bold='' plain=''
[ ! -t 1 ] || [ -n "${NO_COLOR:-}" ] || bold=$'\033[1m' plain=$'\033[0m'
step() { printf '\n%s== %s%s\n\n' "$bold" "$*" "$plain"; }

step "A sandbox: two Postgres servers, a Linode, a Heroku and a bucket store, all on loopback"
"$pgferry" sandbox up --dir "$work/sandbox"
# shellcheck disable=SC1091
source "$work/sandbox/env"

cp "$here/pgferry.yaml" "$here/notify.sh" "$here/smoke-test.sh" "$work/"
cd "$work"

step "pgferry plan"
"$pgferry" plan

step "pgferry apply"
"$pgferry" apply --auto-approve

step "The same question to both sides"
question="select name, balance from public.accounts order by balance desc, id limit 5"
echo "Linode, the source:"
DATABASE_URL=$SOURCE_DATABASE_URL ./smoke-test.sh "$question"
echo "Heroku, the target:"
DATABASE_URL=$("$pgferry" output --reveal database_url) ./smoke-test.sh "$question"

step "pgferry plan, once more"
"$pgferry" plan --detailed-exitcode
