FROM alpine:3.20
RUN tail -f /dev/null & sleep 1 && if pgrep tail; then echo up; else echo down; fi > /etc/service-state
