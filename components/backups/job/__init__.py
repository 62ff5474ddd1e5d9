"""What runs on a host to back its stores up and to bring a backup back.

The component `Backup` installs these files under /usr/local/lib/portcullis_backup, and the program
`portcullis-backup` that starts them. They use nothing but the standard library of the host's Python, 3.9 or
newer, and know nothing of Pulumi: a backup can be taken and restored on a host that nobody deploys to.
"""
