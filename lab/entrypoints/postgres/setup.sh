# Runs in the new root file system, where this folder is /setup: makes of Debian's files the official image's.
set -eu
for name in $(busybox --list); do # its own --install needs /proc
    [ -e "/usr/bin/$name" ] || busybox ln -s busybox "/usr/bin/$name"
done
chmod 755 /setup/docker-entrypoint.sh
mkdir -p /usr/local/bin /usr/local/sbin /docker-entrypoint-initdb.d /etc
mv /setup/docker-entrypoint.sh /usr/local/bin

gunzip /usr/share/i18n/charmaps/UTF-8.gz
localedef --no-archive -i en_US -f UTF-8 en_US.utf8
rm -r /usr/share/i18n /usr/bin/localedef

cat >/etc/passwd <<'USERS'
root:x:0:0:root:/root:/bin/sh
postgres:x:999:999::/var/lib/postgresql:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
USERS
printf '%s\n' root:x:0: postgres:x:999: nogroup:x:65534: >/etc/group
echo 'hosts: files dns' >/etc/nsswitch.conf

# A container has a network of its own, and its clients come over it.
sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" /usr/share/postgresql/*/postgresql.conf.sample
grep -q "^listen_addresses = '\*'" /usr/share/postgresql/*/postgresql.conf.sample

mkdir -p /root /run /var/lib/postgresql/data /run/postgresql
[ -e /var/run ] || ln -s /run /var/run
chown -R postgres:postgres /var/lib/postgresql /run/postgresql
chmod 1777 /var/lib/postgresql /var/lib/postgresql/data
chmod 3777 /run/postgresql
# They have the addresses of this machine's mirror and of the lab's gateway.
rm /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap
