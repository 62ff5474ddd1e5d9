#!/bin/sh
# Install the official Pulumi of the version in requirements.in, for pipelines: the archive must have the checksum
# that is committed in tools/pulumi.sha256.
#
#   tools/pulumi-cli.sh FOLDER     install into FOLDER/pulumi
#   tools/pulumi-cli.sh --record   write tools/pulumi.sha256 from Pulumi's list, to look at and to commit
set -eu
cd "$(dirname "$0")/.."
releases=https://get.pulumi.com/releases/sdk
sums=tools/pulumi.sha256
version=$(sed -n 's/^pulumi==//p' requirements.in)

if [ "$1" = --record ]; then
    list=$(curl -fsSL "$releases/pulumi-$version-checksums.txt")
    printf '%s\n' "$list" | grep -E "^[0-9a-f]{64}  pulumi-v$version-linux-(x64|arm64)\.tar\.gz$" >"$sums"
    echo "Compare with https://github.com/pulumi/pulumi/releases/tag/v$version and commit $sums:"
    exec cat "$sums"
fi

case "$(uname -m)" in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
archive=pulumi-v$version-linux-$machine.tar.gz
if ! sum=$(grep -E "^[0-9a-f]{64}  $archive$" "$sums"); then
    echo "error: $sums has no checksum of $archive, so it is not installed." >&2
    echo "On a machine that you trust run tools/pulumi-cli.sh --record, look at the file and commit it." >&2
    exit 1
fi
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
curl -fsSLo "$fetched/$archive" "$releases/$archive"
if ! (cd "$fetched" && echo "$sum" | sha256sum --check --quiet); then
    echo "error: $releases/$archive is not the archive whose checksum is in $sums." >&2
    exit 1
fi
tar -xzf "$fetched/$archive" -C "$1"
