FROM alpine:3.20
ARG OWNER
COPY --chown=$OWNER:$OWNER app /app
