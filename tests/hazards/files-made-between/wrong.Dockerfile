FROM alpine:3.20
RUN adduser -D -H -u 1400 clerk
COPY --chown=clerk:clerk app /app
RUN sh /app/run.sh > /app/output
