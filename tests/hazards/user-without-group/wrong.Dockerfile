FROM alpine:3.20
RUN addgroup -g 3000 desk && adduser -D -H -u 1400 -G desk clerk
COPY --chown=clerk app/run.sh /home/run.sh
