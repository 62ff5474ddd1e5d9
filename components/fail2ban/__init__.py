"""fail2ban: jails that ban addresses after failed logins."""
