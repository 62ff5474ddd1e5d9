#!/bin/sh
# What the preview key runs, whatever its client asks for.
# Declared by the Portcullis resource web1-preview-command. An edit by hand shows as a difference
# in the next preview, and the next `pulumi up` takes it back.
#
# What was asked for is compared and never run. Both commands for sudo are exact: see
# /etc/sudoers.d/portcullis_preview. The agent's end is said, since the connection may live on.
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
    echo 'portcullis: this key looks at the host and changes nothing; PORTCULLIS_ACCESS=preview previews with it (docs/previews.md)' >&2
    exit 77
    ;;
esac
