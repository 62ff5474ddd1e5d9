#!/usr/bin/env bash
# The main job for real, on a disposable host: raise it, deploy to it, look at it from outside.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/env.sh

tools/lab.sh "${1:?the name of the host}"
echo "==> portcullis up"
tools/stack.sh up --yes --skip-preview
echo
echo "==> what a browser on the internet gets"
page="$(python lab/lab.py fetch --host "$1")"
echo "$page"
case "$page" in
HTTP/*" 200 "*) ;;
*)
    echo "error: that is not the page (200 was expected). make status, make ssh" >&2
    exit 1
    ;;
esac
echo
echo "==> three things for the shop's list, and a backup of both stores"
for name in tea bread "a kettle"; do
    # --fail: what is not taken ends the demo. --retry: a first request may come before the app has its stores.
    python lab/lab.py fetch --host "$1" https://shop.example.com/api/items --silent --fail --retry 3 \
        --header 'Content-Type: application/json' --data "{\"name\": \"$name\"}"
    echo
done
python lab/lab.py exec "$1" systemctl start portcullis-backup.service
sed "s/HOST/$1/" <<'END'

The host is up, and everything on it is declared. Try:

  . tools/env.sh; python lab/lab.py fetch --host HOST https://shop.example.com/api/items
                  ask the shop's API, from the internet
  make ssh        log in and change something by hand, say
                  echo '# by hand' >>/etc/nginx/conf.d/shop.example.com.conf
  make preview    see it as one line, with what make up will do about it
  make up         mend it
  $EDITOR Pulumi.lab.yaml, then make preview: a changed setting shows the same way
  make restore    the backups of the stores; STORE=mongo.shop FROM=latest brings one back
  make down       take everything away again
END
[ "$1" = web1 ] || echo "  Each make with HOST=$1 behind it: without, it is about the host web1."
