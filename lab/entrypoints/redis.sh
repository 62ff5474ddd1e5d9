#!/bin/sh
# As the official image: options alone, or a configuration file alone, are those of redis-server.
case "${1:-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac
exec "$@"
