# Settings for the login shells of all users.
# Declared by the Portcullis resource web1-login-profile. An edit by hand shows as a difference
# in the next preview, and the next `pulumi up` takes it back.

# A shell that waits this many seconds for a command ends (CIS 5.4.3.2). It never ends while a
# command runs. The variable is not readonly: `unset TMOUT` keeps a shell open.
export TMOUT=1800
# The soft limit for core dumps. The hard limit is in limits.d.
ulimit -c 0
