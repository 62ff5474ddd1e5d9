#!/usr/bin/env bash
# Run a verb on stack lab: tools/stack.sh up --yes, tools/stack.sh preview --details, and so on.
# The stack is made at first use. Everything else of Pulumi works too after `. tools/env.sh`.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/env.sh

if [ ! -f Pulumi.lab.yaml ]; then
    echo "error: there is no disposable host yet (Pulumi.lab.yaml is missing): run \`make lab\` or \`make demo\`." >&2
    exit 1
fi
# Pulumi keeps a file for each stack of this backend: looking is much faster than asking.
if [ ! -f .pulumi-state/.pulumi/stacks/portcullis/lab.json ]; then
    pulumi stack select lab --create >/dev/null
fi
command=$1
shift
exec portcullis "$command" --stack lab "$@"
