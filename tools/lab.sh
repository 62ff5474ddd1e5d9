#!/usr/bin/env bash
# Raise the disposable host, write this machine's facts into Pulumi.lab.yaml, and forget the state of a host
# that is gone: it would send Pulumi looking for containers on a new host that has no Docker yet.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/env.sh
host=${1:?the name of the host}

python lab/lab.py up "$host"
python lab/lab.py stack "$host"
machine="$(python lab/lab.py exec "$host" cat /etc/machine-id)"
known="$(cat .pulumi-state/machine-id 2>/dev/null || true)"
if [ "$machine" != "$known" ]; then
    if [ -f .pulumi-state/.pulumi/stacks/portcullis/lab.json ]; then
        echo "==> $host is a new machine: forgetting the state of the one before"
        pulumi stack rm lab --force --yes --preserve-config
    fi
    echo "$machine" >.pulumi-state/machine-id
fi
