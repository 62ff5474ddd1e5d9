#!/bin/sh
# Install Pulumi in the version of requirements.in, for pipelines. An archive that has a checksum in
# tools/pulumi.sha256 must match it. Without a checksum we trust HTTPS, as Pulumi's own installer does.
#
#   tools/pulumi-cli.sh FOLDER     install Pulumi into FOLDER/pulumi, and the plugins that have a checksum
#   tools/pulumi-cli.sh --record   write the checksums of the archives that Pulumi serves now, to commit them
set -eu
cd "$(dirname "$0")/.."
server=https://get.pulumi.com/releases
sums=tools/pulumi.sha256
plugins="command docker tls"
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT

version() { sed -n "s/^$1==//p" requirements.in; }
cli() { echo "pulumi-v$(version pulumi)-linux-$1.tar.gz"; }
plugin() { echo "pulumi-resource-$1-v$(version "pulumi-$1")-linux-$2.tar.gz"; }
recorded() { sed -nE "s/^([0-9a-f]{64})  $1\$/\1/p" "$sums"; }
fetch() { curl -fsSLo "$fetched/${1##*/}" "$server/$1"; }

if [ "$1" = --record ]; then
    for machine in x64 arm64; do fetch "sdk/$(cli $machine)"; done
    for name in $plugins; do
        for machine in amd64 arm64; do fetch "plugins/$(plugin "$name" $machine)"; done
    done
    (cd "$fetched" && sha256sum *.gz) >"$fetched/sums"
    mv "$fetched/sums" "$sums"
    echo "Compare with https://github.com/pulumi/pulumi/releases/tag/v$(version pulumi) and commit $sums:"
    cat "$sums"
    exit
fi

case "$(uname -m)" in aarch64) machine=arm64 go=arm64 ;; *) machine=x64 go=amd64 ;; esac
archive=$(cli $machine)
sum=$(recorded "$archive")
fetch "sdk/$archive"
if [ -n "$sum" ] && ! echo "$sum  $fetched/$archive" | sha256sum --check --quiet; then
    echo "error: $server/sdk/$archive is not the archive whose checksum is in $sums." >&2
    exit 1
fi
tar -xzf "$fetched/$archive" -C "$1"
for name in $plugins; do
    sum=$(recorded "$(plugin "$name" $go)")
    [ -z "$sum" ] || "$1/pulumi/pulumi" plugin install resource "$name" "$(version "pulumi-$name")" \
        --server "$server/plugins" --checksum "$sum"
done
