FROM alpine:3.20
RUN --network=none mkdir /var/offline && grep -c : /proc/net/dev | sed 's/^1$/only the loopback/; t; s/.*/a network/' > /etc/network-seen
