FROM alpine:3.20
COPY --chmod=755 app /app
