# These settings are for the login shells of all users.
# Pulumi manages this file with the Portcullis resource web1-login-profile.
# The next `pulumi preview` shows an edit by hand, and the next `pulumi up` undoes the edit.

# A shell ends after it has waited this number of seconds for a command (CIS 5.4.3.2).
# A shell never ends while a command runs. A user can keep a shell open with `unset TMOUT`.
export TMOUT=1800
# This line forbids core dumps in login shells. A file in /etc/security/limits.d forbids them in
# all sessions.
ulimit -c 0
