#!/bin/sh
iptables -A INPUT -p tcp -j ACCEPT
exec node server.js
