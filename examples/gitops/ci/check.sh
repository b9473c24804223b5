#!/bin/sh
# What a change must pass before it is merged. Runs in any pipeline that has the `openworld` command; no cluster.
#
#   ci/check.sh MANIFESTS CASES…
#
# MANIFESTS: a file that Kustomize has rendered, or a folder. CASES: written policy cases. JUnit reports go to $REPORTS.
set -eu
manifests="$1"
shift
tests="$(dirname "$0")/../tests"
reports="${REPORTS:-.}"
cases=""
for file in "$tests/policy-cases.yaml" "$@"; do cases="$cases --cases $file"; done

echo "== lint"
openworld lint --strict "$manifests"

echo "== policy test"
# shellcheck disable=SC2086  # one option for each file
openworld policy test "$manifests" $cases --junit "$reports/policy.xml"

echo "== simulate"
openworld simulate "$manifests" --input '{"invoice": "INV-7"}' --mock "$tests/mock.yaml" --junit "$reports/simulate.xml"
