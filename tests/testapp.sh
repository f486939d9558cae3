#!/bin/sh
# testapp: runs the unit tests that `make testapp` left in target/unit-tests and reports them as TAP.
# Exit status: 0 when all passed, 1 otherwise. Output of a failed test follows as comments.
tests=$(dirname "$0")/target/unit-tests
count=$("$tests" --list 2>/dev/null | grep -c ': test$')
report=$(mktemp) || exit 1
trap 'rm -f "$report"' EXIT
"$tests" >"$report" 2>&1
status=$?
awk -v count="$count" '
    BEGIN { print "1.." count }
    /^test .* \.\.\. ok/ { print "ok " ++n " - " $2; next }
    /^test .* \.\.\. ignored/ { print "ok # SKIP " ++n " - " $2; next }
    /^test .* \.\.\. FAILED/ { print "not ok " ++n " - " $2; next }
    /^$/ || /^running / { next }
    { print "# " $0 }
    END { if (n != count) print "# only " n + 0 " of " count " tests have reported" }
' "$report"
test "$status" -eq 0
