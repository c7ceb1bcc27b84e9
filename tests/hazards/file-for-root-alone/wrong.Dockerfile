FROM debian:trixie-slim
COPY app.conf /etc/app.conf
RUN chmod 600 /etc/app.conf
USER 10001
CMD ["cat", "/etc/app.conf"]
