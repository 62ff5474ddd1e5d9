# Runs in the new root file system, where this folder is /setup: turns Debian's WordPress into the official image's.
set -eu
www=/usr/src/wordpress
mkdir -p /usr/src
cp -RL /usr/share/wordpress $www # Debian's folder has links to other packages
rm -r /usr/share/wordpress $www/wp-config.php $www/.htaccess # these two read /etc/wordpress
install -m 644 /setup/wp-config-docker.php $www
install -m 755 /setup/docker-entrypoint.sh /setup/apache2-foreground /usr/local/bin

# Apache takes what the container's environment says of its folders and its user.
sed -Ei 's/^export (APACHE_[A-Z_]+)=(.*)$/export \1="${\1:-\2}"/' /etc/apache2/envvars
cat >/etc/apache2/conf-available/docker-php.conf <<'CONF'
<Directory /var/www/>
    Options -Indexes
    AllowOverride All
</Directory>
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 127.0.0.0/8
CONF
a2enmod -q expires remoteip rewrite
a2enconf -q docker-php

for folder in /run/apache2 /run/lock/apache2 /var/log/apache2 /var/www/html; do
    rm -rf $folder
    install -d -o www-data -g www-data -m 1777 $folder
done
ln -s /dev/stderr /var/log/apache2/error.log
ln -s /dev/stdout /var/log/apache2/access.log
ln -s /dev/stdout /var/log/apache2/other_vhosts_access.log
# The kernel follows such links only if they belong to who follows them, or to the folder's owner.
chown -h www-data: /var/log/apache2/*
# They have the addresses of this machine's mirror and of the lab's gateway.
rm /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap
