#!/bin/sh
set -e
echo "high water at ${TIDES_HARBOUR}"
exec tides "$@"
