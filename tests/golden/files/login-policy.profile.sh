# Everybody's login shell.
# Declared by the Portcullis resource web1-login-profile. An edit by hand shows as a difference
# in the next preview, and the next `pulumi up` takes it back.

# A shell that was left open ends (CIS 5.4.3.2). Not readonly: `unset TMOUT` keeps one
# open, and a command that runs is never ended.
export TMOUT=1800
# The soft limit as well; the hard one is in limits.d.
ulimit -c 0
