#!/bin/sh
set -e
mkdir -p /var/lib/store
chown 900:900 /var/lib/store
exec setpriv --reuid=900 --regid=900 --clear-groups "$@"
