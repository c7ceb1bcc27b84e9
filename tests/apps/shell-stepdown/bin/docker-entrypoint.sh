#!/bin/sh
# Started as root: gives the data to the service's user and goes on as that user.
set -e
if [ "$(id -u)" = 0 ]; then
    mkdir -p /var/lib/journal
    chown -R journal:journal /var/lib/journal
    exec setpriv --reuid=journal --regid=journal --clear-groups "$0" "$@"
fi
exec "$@"
