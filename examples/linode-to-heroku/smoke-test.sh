#!/bin/sh
# Asks the database at DATABASE_URL one question, and fails if it has no answer.
# Usage: DATABASE_URL=postgres://… ./smoke-test.sh [SQL]
# The URL is taken apart here, because an argument list is open to every user of the machine.
set -eu
sql=${1:-"select count(*) as accounts, sum(balance) as balance from public.accounts"}
rest=${DATABASE_URL#*://}
rest=${rest%%\?*}
credentials=${rest%@*}
place=${rest##*@}
server=${place%%/*}
export PGUSER="${credentials%%:*}" PGPASSWORD="${credentials#*:}"
export PGHOST="${server%%:*}" PGPORT="${server##*:}" PGDATABASE="${place#*/}"
export PGSSLMODE=require PGOPTIONS="-c default_transaction_read_only=on"
exec psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --command "$sql"
