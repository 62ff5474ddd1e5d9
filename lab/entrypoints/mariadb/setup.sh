# Runs in the new root file system, where this folder is /setup: makes of Debian's files the official image's.
set -eu
for name in $(busybox --list); do # its own --install needs /proc
    [ -e "/usr/bin/$name" ] || busybox ln -s busybox "/usr/bin/$name"
done
chmod 755 /setup/docker-entrypoint.sh
mkdir -p /usr/local/bin /usr/local/sbin /docker-entrypoint-initdb.d /usr/lib/mysql/plugin
mv /setup/docker-entrypoint.sh /usr/local/bin

cat >/etc/passwd <<'USERS'
root:x:0:0:root:/root:/bin/sh
mysql:x:999:999::/var/lib/mysql:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
USERS
printf '%s\n' root:x:0: mysql:x:999: nogroup:x:65534: >/etc/group
echo 'hosts: files dns' >/etc/nsswitch.conf

ln -sf mariadb.cnf /etc/mysql/my.cnf
# As in the official image: a container's clients have no names.
printf '[mariadb]\nhost-cache-size=0\nskip-name-resolve\n' >/etc/mysql/mariadb.conf.d/05-skipcache.cnf

mkdir -p /root /run/mysqld /var/lib/mysql
[ -e /var/run ] || ln -s /run /var/run
chown mysql:mysql /var/lib/mysql /run/mysqld
chmod 1777 /run/mysqld
# They have the addresses of this machine's mirror and of the lab's gateway.
rm /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap
