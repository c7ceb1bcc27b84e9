FROM alpine:3.20
RUN --mount=type=tmpfs,target=/var/work mkdir /var/work/a && mkdir -p /var/work/b
