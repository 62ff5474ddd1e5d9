"""The job that backs up the stores of a host and restores backups.

The component `Backup` installs these files under /usr/local/lib/portcullis_backup, and the program
`portcullis-backup` that starts them. They need only the standard library of the host's Python, 3.9 or newer.
They do not need Pulumi: backups can be taken and restored on a host that nobody deploys to any more.
"""
