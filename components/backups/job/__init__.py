"""The job that backs up the stores of a host and restores backups.

The component `Backup` installs these files under /usr/local/lib/portcullis_backup. It also installs the
program `portcullis-backup`, which runs them. The files need only the standard library of the host's Python,
3.10 or newer. The files do not need Pulumi, so a host that nobody deploys to any more can still take and
restore backups.
"""
