FROM debian:trixie-slim
VOLUME /data
USER 10001
CMD ["touch", "/data/state"]
