FROM alpine:3.20
COPY --chown=1400 run.sh /home/run.sh
