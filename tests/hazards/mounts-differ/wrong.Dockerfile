FROM alpine:3.20
RUN --mount=type=tmpfs,target=/var/scratch mkdir /var/scratch/a && mkdir -p /var/scratch/b
