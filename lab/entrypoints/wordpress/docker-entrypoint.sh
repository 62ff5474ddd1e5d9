#!/bin/sh
# As the official image: copies WordPress to an empty /var/www/html, and writes wp-config.php if a variable asks for it.
set -eu
case "${1:-}" in
    apache2*)
        if [ ! -e index.php ] && [ ! -e wp-includes/version.php ]; then
            echo "wordpress: copying /usr/src/wordpress to $PWD" >&2
            cp -R --update=none /usr/src/wordpress/. .
            [ "$(id -u)" != 0 ] || chown -R www-data:www-data .
        fi
        if [ ! -s wp-config.php ] && env | grep -q '^WORDPRESS_'; then
            echo "wordpress: writing wp-config.php, which reads the variables WORDPRESS_*" >&2
            random=$(php -r 'echo bin2hex(random_bytes(32));')
            sed "s/@random@/$random/" /usr/src/wordpress/wp-config-docker.php >wp-config.php
            [ "$(id -u)" != 0 ] || chown www-data:www-data wp-config.php
        fi
        ;;
esac
exec "$@"
