#!/bin/sh
# The entry point of the container.
#
#   maintain   create the store if there is none, and run the nightly jobs every day (the default)
#   nightly    run the nightly jobs now
#   ...        any command of bsv-store
#
# Environment: BSV_STORE and BACKUP (folders), DATABASE (URL for a new store; without it SQLite), NIGHTLY_AT (HH:MM),
# PGPASSWORD_FILE (a file with the password of the database).
set -u

job=

# Run a job so that a signal reaches it.
run() {
    "$@" &
    job=$!
    wait "$job"
    code=$?
    job=
    return "$code"
}

stop() {
    trap - TERM INT
    if [ -n "$job" ]; then
        kill -TERM "$job" 2>/dev/null
        wait "$job"
    fi
    exit 143
}

# One job of the night. A failed one does not keep the next from running.
failed=0
nightly_job() {
    echo "$(date '+%Y-%m-%d %H:%M:%S') $*" >&2
    run "$@"
    code=$?
    if [ "$code" -ne 0 ]; then
        echo "exit code $code: $*" >&2
        failed=1
    fi
}

nightly() {
    failed=0
    nightly_job bsv-store sync structures
    nightly_job bsv-store sync experiments
    nightly_job bsv-store verify --deep --since 7d --time-limit 2h
    nightly_job bsv-store gc --apply
    nightly_job bsv-store backup create "$BACKUP"
    nightly_job bsv-store backup prune "$BACKUP" --keep-daily 7 --keep-weekly 4 --apply
    return "$failed"
}

seconds_until() {
    now=$(date +%s)
    next=$(date --date "$1" +%s) || return 1
    if [ "$next" -le "$now" ]; then
        next=$(date --date "tomorrow $1" +%s)
    fi
    echo $((next - now))
}

maintain() {
    if [ ! -e "$BSV_STORE/store.toml" ]; then
        if [ -n "${DATABASE:-}" ]; then
            run bsv-store init --database "$DATABASE" "$BSV_STORE" || exit
        else
            run bsv-store init "$BSV_STORE" || exit
        fi
    fi
    while true; do
        pause=$(seconds_until "${NIGHTLY_AT:-02:00}") || exit 2
        run sleep "$pause"
        nightly
    done
}

if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$PGPASSWORD_FILE") || exit 2
    export PGPASSWORD
fi

case "${1:-maintain}" in
    maintain)
        trap stop TERM INT
        maintain
        ;;
    nightly)
        trap stop TERM INT
        nightly
        ;;
    *) exec bsv-store "$@" ;;
esac
