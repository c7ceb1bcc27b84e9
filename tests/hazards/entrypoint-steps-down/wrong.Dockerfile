FROM debian:trixie-slim
RUN useradd --system --uid 900 daemon2
COPY --chmod=755 start.sh /usr/local/bin/start.sh
USER 10001
ENTRYPOINT ["start.sh"]
CMD ["id", "-u"]
