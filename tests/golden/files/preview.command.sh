#!/bin/sh
# sshd runs this program for each login with the preview key, which may only read the host.
# Pulumi manages this file with the Portcullis resource web1-preview-command.
# The next `pulumi preview` shows an edit by hand, and the next `pulumi up` undoes the edit.
#
# The program compares the client's command with two fixed texts, but never runs the client's
# below: see /etc/sudoers.d/portcullis_preview. `echo ended` tells the client that the agent has
# `echo ended` tells the client that the agent has ended, because the connection may stay open.
unset IFS
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
case "$SSH_ORIGINAL_COMMAND" in
"portcullis-preview agent")
    sudo -n /usr/local/lib/portcullis/preview-as-root agent
    echo ended
    ;;
"docker system dial-stdio")
    exec sudo -n /usr/local/lib/portcullis/preview-as-root docker
    ;;
*)
    echo 'portcullis: this key reads the host and changes nothing; to preview with it, set PORTCULLIS_ACCESS=preview (docs/previews.md)' >&2
    exit 77
    ;;
esac
